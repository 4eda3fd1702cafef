// A list of tests by name, one after another, each bounded.

const testTimeout = 240_000; // ms, of a test that does not have its own

/** Runs the tests and returns how many failed; onFailure may look at what is left. */
export async function runTests(tests, argument, onFailure = async () => {}) {
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    let timer;
    const late = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error("the test took too long")), test.timeout ?? testTimeout);
    });
    try {
      await Promise.race([test(argument), late]);
      console.log(`ok      ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}\n${error.stack}`);
      await onFailure();
    } finally {
      clearTimeout(timer);
    }
  }
  console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
  return failed;
}
