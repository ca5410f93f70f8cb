/** For a child process that must not take itself for a part of this test run. */
export const childEnvironment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^TAP|^NODE_OPTIONS|^NODE_TEST|^_TAPJS/.test(name)))
