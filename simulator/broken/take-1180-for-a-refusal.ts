import { MYSQL } from '../../lib/drivers/mysql.ts'

/** This plugin as it was at 1fe39b9: a COMMIT that is answered with 1180 counts as refused, although the other nodes may have it. */
const { refuses } = MYSQL.errors
Object.assign(MYSQL.errors, { refuses: (error: Parameters<typeof refuses>[0]) => error.errno === 1180 || refuses(error) })

export { default } from '../../plugin.ts'
