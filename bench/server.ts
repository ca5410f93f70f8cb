/** One contender in a process of its own: `node --expose-gc bench/server.ts NAME DATABASE [URL]`, asked over IPC. */
import { load, type SubjectName } from './contenders/all.ts'
import { optionsFor, seed, type DatabaseKind } from './database.ts'
import { held } from './held.ts'
import type { Answers, Question } from './server-process.ts'

const [name, kind, url] = process.argv.slice(2) as [SubjectName, DatabaseKind, string | undefined]

const start = await load(name)
const contender = await start(optionsFor(kind, name, url))
if (contender.orm !== undefined) await seed(contender.orm)
const address = await contender.listen()

const answers: { [Q in Question]: () => Answers[Q] | Promise<Answers[Q]> } = {
  address: () => address,
  cpu: () => {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  heap: async () => {
    // Finalizers run between two collections, and let go of more.
    for (let n = 0; n < 3; n++) {
      gc?.()
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    return process.memoryUsage().heapUsed
  },
  held: () => held.count,
  release: () => held.release()
}

process.on('message', ({ id, question }: { id: number, question: Question }) => {
  void (async () => process.send?.({ id, answer: await answers[question]() }))()
})
process.on('disconnect', () => { void contender.close().finally(() => process.exit()) })
process.send?.({ id: 0 })
