import type { SqlORM } from '../../test/support/databases.ts'
import type { Abilities } from '../generate.ts'
import type { Rows } from '../rows.ts'

/** Where the programs run, seen from outside of them: through a connection of its own, with plain SQL. */
export interface Database extends Abilities {
  /** Another one of the same kind, for SQLAlchemy, as that calls it. */
  readonly sqlAlchemyUrl: string
  /** A MikroORM for the application under test. */
  connect (): Promise<SqlORM>
  /** Puts back what is there before each program. */
  reset (): Promise<void>
  /** What is committed. */
  read (): Promise<Rows>
  /** Transactions and connections that nobody owns any more. */
  leftovers (orm: SqlORM): Promise<string[]>
  close (): Promise<void>
}
