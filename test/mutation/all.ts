/**
 * The tests that a mutant has to pass, in one process, which saves starting sixteen; `sqlite.ts` and `mysql.ts` run them on
 * one database each. What takes long comes last, since the first failure ends the process. Left out are the tests of the
 * examples, which start processes of their own, and of closing, which freeze a server and count the milliseconds.
 */
import './one-database.ts'
import '../without-transactions.test.ts'
import '../kysely.test.ts'
import '../statements.test.ts'
import '../nesting.test.ts'
import '../run.test.ts'
import '../context.test.ts'
import '../options.test.ts'
import '../private-errors.test.ts'
import '../commit.test.ts'
import '../lender.test.ts'
import '../open-streams.test.ts'
import '../docs.test.ts'
import '../scope-state.test.ts'
import '../interleavings.test.ts'
import '../overlaps.test.ts'
import '../limits.test.ts'
import '../endings.test.ts'
import '../failing-rollback.test.ts'
import '../commit-unknown.test.ts'
