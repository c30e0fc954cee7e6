//! Git against the real thing: repositories made by the `git` command, served from disk, over http and over ssh.

mod bed;
mod cache;
mod file;
mod http;
mod links;
mod ssh;
mod tree;
mod web;
