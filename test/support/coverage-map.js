import { globSync } from 'node:fs'

const published = globSync(['lib/**/*.ts', 'plugin.ts', 'testing.ts', 'opentelemetry.ts', 'inspector.ts'])

/**
 * Which sources a test file is to cover, for tap: what is published. Of the torture only what judges is tested apart from a run of it, which is
 * another process.
 */
export default file => file.endsWith('torture-checker.test.ts') ? ['torture/checker.ts'] : published
