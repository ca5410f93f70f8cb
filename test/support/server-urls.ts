/** The server that MYSQL_URL names. An empty one names none: `MYSQL_URL= npm test` is how a shell takes one back. */
export function mysqlUrl (): string | undefined {
  return process.env['MYSQL_URL'] || undefined
}

/** The server that PG_URL names. */
export function postgresqlUrl (): string | undefined {
  return process.env['PG_URL'] || undefined
}
