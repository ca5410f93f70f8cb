// Scopes, their sessions and databases
import '../scope-state.test.ts'
import '../run.test.ts'
import '../context.test.ts'
import '../scope-parent.test.ts'
import '../databases.test.ts'
import '../clean.test.ts'
