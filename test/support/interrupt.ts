/**
 * For `node --import`: the program gets a Ctrl-C at the moment when it prints INTERRUPT_AT, which is sooner and more exact
 * than another process can be.
 */
const words = String(process.env['INTERRUPT_AT'])
const write = process.stdout.write.bind(process.stdout)

process.stdout.write = (text: string | Uint8Array) => {
  if (String(text).includes(words)) process.kill(process.pid, 'SIGINT')
  return write(text)
}
