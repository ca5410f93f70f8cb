import { basename } from 'node:path'

// To be imported before any test: they ask for their databases when they are defined.
process.env['TEST_DATABASE'] = basename(process.argv[1] ?? '', '.ts')
