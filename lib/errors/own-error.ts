/** MikroORM makes a DriverException of whatever is thrown while it executes a statement, this package's errors too. */
export function isOwnError (error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('FST_SCOPED_DB_')
}
