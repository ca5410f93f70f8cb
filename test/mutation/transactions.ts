// What goes to the database, and when
import '../open-streams.test.ts'
import '../turns.test.ts'
import '../patience.test.ts'
import '../nesting.test.ts'
import '../kysely.test.ts'
import '../without-transactions.test.ts'
import '../failing-rollback.test.ts'
