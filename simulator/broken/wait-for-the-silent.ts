import { ConnectionPool } from '../../lib/transaction/connection-pool.ts'

/** This plugin, but a connection that leads nowhere is kept for as long as the server does not answer. */
ConnectionPool.prototype.destroyLater = () => () => {}

export { default } from '../../plugin.ts'
