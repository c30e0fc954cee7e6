mod schema;
mod yaml;
