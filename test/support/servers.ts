/** All servers that the tests run on: `node test/support/servers.ts COMMAND...` starts them, runs the command with their addresses, and stops them again. */
import { MARIADB } from './mariadb.ts'
import { POSTGRESQL } from './postgresql.ts'
import { runWithServers } from './run-with-servers.ts'

process.exitCode = await runWithServers([MARIADB, POSTGRESQL], process.argv.slice(2))
