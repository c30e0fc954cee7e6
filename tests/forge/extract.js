// Takes out of GitHub's description of its API what these tests judge by: the requests that we make, and the schemas that
// they refer to. `node extract.js DESCRIPTION.json` prints it.
const fs = require("node:fs");

const repo = "/repos/{owner}/{repo}";
const wanted = {
  "/user": ["get"],
  "/app": ["get"],
  "/app/installations/{installation_id}/access_tokens": ["post"],
  [`${repo}/installation`]: ["get"],
  [`${repo}/pulls`]: ["get"],
  [`${repo}/pulls/{pull_number}`]: ["get"],
  [`${repo}/issues/{issue_number}/comments`]: ["get", "post"],
  [`${repo}/issues/comments/{comment_id}`]: ["get", "patch", "delete"],
  [`${repo}/issues/comments/{comment_id}/reactions`]: ["post"],
  [`${repo}/collaborators/{username}/permission`]: ["get"],
  [`${repo}/statuses/{sha}`]: ["post"],
};

const whole = JSON.parse(fs.readFileSync(process.argv[2]));
const out = { paths: {}, components: {} };

function take(value) {
  if (Array.isArray(value)) return value.forEach(take);
  if (value === null || typeof value !== "object") return;
  for (const [key, inner] of Object.entries(value)) {
    // Examples name other schemas, and are none.
    if (key === "examples" || key === "example") delete value[key];
    else if (key === "$ref" && typeof inner === "string") follow(inner);
    else take(inner);
  }
}

function follow(reference) {
  const [, , kind, name] = reference.split("/");
  out.components[kind] ??= {};
  if (kind === "examples" || name in out.components[kind]) return;
  out.components[kind][name] = whole.components[kind][name];
  take(out.components[kind][name]);
}

for (const [path, methods] of Object.entries(wanted)) {
  const item = whole.paths[path];
  if (!item) throw new Error(`it has no ${path}`);
  out.paths[path] = Object.fromEntries(methods.map((method) => [method, item[method]]));
  take(out.paths[path]);
}
console.log(JSON.stringify(out));
