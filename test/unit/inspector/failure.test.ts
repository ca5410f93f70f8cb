import t from 'tap'
import { failureOf } from '../../../lib/inspector/failure.ts'

void t.test('a code and a message of whatever was thrown', async t => {
  t.same(failureOf(Object.assign(new Error('no'), { code: 'E_NO' })), { code: 'E_NO', message: 'no' })
  t.same(failureOf(new Error('no')), { code: 'unknown', message: 'no' })
  t.same(failureOf(Object.assign(new Error('no'), { code: 7 })), { code: '7', message: 'no' })
  for (const thrown of [null, 'text', 7, Symbol('s'), { get message () { throw new Error('hostile') } }, { message: { toString () { throw new Error('hostile') } } }]) t.same(failureOf(thrown), { code: 'unknown', message: '' })
  t.equal(failureOf(undefined), undefined)
})

void t.test('no more of it than is of use', async t => {
  t.equal(failureOf(new Error('x'.repeat(5_000)))?.message.length, 2_000)
})
