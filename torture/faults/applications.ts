import type { StrikingFault } from './fault.ts'

/** Tells the application to stop in the middle of its work. What it has begun, it has to finish. */
export const stop: StrikingFault = {
  name: 'stop',
  needsServer: false,
  endsProcess: true,
  async strike ({ send, restart, complain }, random) {
    const begun = Array.from({ length: 3 }, () => send('hold', { pause: random.between(50, 300) }))
    await Promise.all(begun.map(({ arrived, answered }) => Promise.race([arrived, answered])))
    const [answers] = await Promise.all([Promise.all(begun.map(({ answered }) => answered)), restart()])
    for (const { status, error } of answers) {
      if (status === undefined) complain(`a request that had begun before the application was told to stop got no answer: ${error}`)
    }
  }
}
