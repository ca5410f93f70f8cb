import type { Connection } from '@mikro-orm/core'

const inFlight = new WeakMap<Connection, Promise<void>>()
const watched = new WeakSet<Connection>()

/**
 * Has a connection connect once for all who come meanwhile, and remembers while it does. MikroORM takes it for connected as soon as it begins, and may
 * be making the database, after which it connects anew, without that (`skipOnConnect`).
 */
export function watchConnecting (connection: Connection): void {
  if (watched.has(connection)) return
  watched.add(connection)
  const { connect } = connection
  connection.connect = async options => {
    if (options?.skipOnConnect === true) await connect.call(connection, options)
    else await (inFlight.get(connection) ?? first(connection, async () => { await connect.call(connection, options) }))
  }
}

async function first (connection: Connection, connect: () => Promise<void>): Promise<void> {
  const connecting = connect()
  inFlight.set(connection, connecting.catch(() => undefined))
  try {
    await connecting
  } finally {
    inFlight.delete(connection)
  }
}

/** Has a connection connect, unless it has. Gives nothing where there is nothing to wait for. Whoever else connects is told of what fails. */
export function connecting (connection: Connection): Promise<void> | undefined {
  return connection['connected'] ? inFlight.get(connection) : connection.ensureConnection()
}
