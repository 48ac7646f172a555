// A reporter that ends a run of tests with one plain line, for whoever reads its output by machine.
export default class ClosingLine {
  onTestRunEnd(modules) {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state in count) count[state]++;
      }
      // One that could not even be read.
      if (module.state() === "failed" && [...module.children.allTests()].length === 0) count.failed++;
    }
    const { passed, failed, skipped } = count;
    this.line = `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`;
    process.on("exit", () => console.log(this.line));
  }
}
