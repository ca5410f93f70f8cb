/** What a commit waits for when the reply is a stream, and what becomes of streams that are not sent. */
import type { FastifyReply } from 'fastify'
import { EventEmitter, once } from 'node:events'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { discard, firstByte, fromOldStream, keepFromCrashing } from '../../../lib/fastify/payload.ts'

const silent = () => new Readable({ read () {} })

function reply ({ contentType = 'text/plain', destroyed = false } = {}) {
  const raw = Object.assign(new EventEmitter(), { destroyed })
  return { raw, reply: { raw, getHeader: () => contentType } as unknown as FastifyReply }
}

/** Without a listener for its errors, which `once()` would have. */
const closed = async (stream: Readable) => { await new Promise<void>(resolve => { stream.on('close', resolve) }) }

/** Whether the wait is over by now. */
async function isOver (wait: Promise<void>): Promise<boolean> {
  let over = false
  void wait.then(() => { over = true })
  for (let turn = 0; turn < 3; turn++) await nextTurn()
  return over
}

void t.test('what is there, or will never come, is not waited for', async t => {
  const full = silent()
  full.push('first')
  const flowing = silent()
  flowing.resume()
  const ended = Readable.from([])
  ended.resume()
  await once(ended, 'end')
  for (const [name, stream] of Object.entries({ full, flowing, ended })) t.equal(await isOver(firstByte(stream, reply().reply)), true, name)
  t.equal(await isOver(firstByte(silent(), reply({ contentType: 'text/event-stream; charset=utf-8' }).reply)), true, 'an event stream')
  t.equal(await isOver(firstByte(silent(), reply({ destroyed: true }).reply)), true, 'nobody to send it to')
  await t.rejects(firstByte(silent().on('error', () => {}).destroy(new Error('no such file')), reply().reply), { message: 'no such file' })
  const half = silent()
  half.push('half')
  for (const stream of [silent(), half]) await t.rejects(firstByte(stream.destroy(), reply().reply), { code: 'ERR_STREAM_PREMATURE_CLOSE' })
})

void t.test('the wait ends with the first byte, the end of the stream, or that of the client, and leaves no listener', async t => {
  const ends: Record<string, (stream: Readable, raw: EventEmitter) => unknown> = {
    'first byte': stream => stream.push('first'),
    end: stream => stream.push(null),
    'client gone': (_stream, raw) => raw.emit('close'),
    'client gone, with an error': (_stream, raw) => {
      raw.once('error', () => {})
      raw.emit('error', new Error('aborted'))
      raw.emit('close')
    }
  }
  for (const [name, end] of Object.entries(ends)) {
    const stream = silent()
    const { raw, reply: to } = reply()
    const wait = firstByte(stream, to)
    t.equal(await isOver(wait), false, name)
    end(stream, raw)
    await wait
    t.same([stream, raw].flatMap(emitter => emitter.eventNames().filter(event => emitter.listenerCount(event) > 0)), [], name)
  }
  const failing = silent()
  const wait = firstByte(failing, reply().reply)
  failing.destroy(new Error('too late'))
  await t.rejects(wait, { message: 'too late' })
})

void t.test('old streams are let go of in the way that they know, and read no faster than they are sent', async t => {
  for (const method of ['destroy', 'close', 'abort', 'nothing']) {
    const released: string[] = []
    const old = Object.assign(new EventEmitter(), { pipe () {}, [method]: () => { released.push(method) } })
    discard(old)
    fromOldStream(old as never).destroy()
    await nextTurn()
    t.same(released, method === 'nothing' ? [] : [method, method], method)
  }
  const calls: string[] = []
  const old = Object.assign(new EventEmitter(), { pipe () {}, pause () { calls.push('pause') }, resume () { calls.push('resume') } })
  const stream = fromOldStream(old as never)
  old.emit('data', 'x'.repeat(stream.readableHighWaterMark))
  t.same(calls, ['pause'])
  t.equal(String(stream.read()).length, stream.readableHighWaterMark)
  await nextTurn()
  t.match(calls, ['pause', 'resume'])
})

void t.test('an old stream that is over tells of it no more', async t => {
  const over = (state: object) => fromOldStream(Object.assign(new EventEmitter(), { pipe () {}, ...state }) as never).on('error', () => {})
  for (const state of [{ readable: false }, { readableEnded: true }, { readable: false, readableEnded: true, destroyed: true }]) {
    const stream = over(state).resume()
    await once(stream, 'end')
    t.equal(stream.readableEnded, true)
  }
  for (const state of [{ destroyed: true }, { readable: false, destroyed: true }]) t.equal(over(state).destroyed, true)
  for (const state of [{}, { readable: true }, { readable: true, destroyed: false }]) t.equal(over(state).destroyed, false)
})

void t.test('a stream that fails while nobody listens ends no process', async t => {
  const failing = silent()
  keepFromCrashing(failing)
  failing.destroy(new Error('during the commit'))
  await closed(failing)
  const dropped = new Readable({ read () {}, destroy (_error, done) { done(new Error('of its end')) } })
  discard(dropped)
  await closed(dropped)
  t.same([failing.destroyed, dropped.destroyed], [true, true])
  for (const payload of ['text', undefined]) {
    keepFromCrashing(payload)
    discard(payload)
  }
})
