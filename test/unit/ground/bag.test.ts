import fc from 'fast-check'
import assert from 'node:assert/strict'
import t from 'tap'
import { Bag } from '../../../lib/bag.ts'

void t.test('what is in a bag is what is in a set', t => {
  const members = Array.from({ length: 6 }, (_, name) => ({ name, index: -1 }))
  const steps = fc.array(fc.tuple(fc.constantFrom('add', 'delete'), fc.constantFrom(...members)))
  t.doesNotThrow(() => fc.assert(fc.property(steps, steps => {
    const bag = new Bag<typeof members[number]>()
    const set = new Set<typeof members[number]>()
    for (const [what, member] of steps) {
      if (what === 'delete') assert.equal(bag.delete(member), set.delete(member))
      else if (!set.has(member)) bag.add(member)
      if (what === 'add') set.add(member)
      assert.equal(bag.size, set.size)
      for (const member of members) assert.equal(bag.has(member), set.has(member))
      assert.deepEqual(new Set(bag), set)
    }
  })))
  t.end()
})

void t.test('what comes or goes while one looks changes nothing of what is seen', t => {
  const bag = new Bag<{ name: string, index: number }>()
  for (const name of ['a', 'b', 'c']) bag.add({ name, index: -1 })
  const seen: string[] = []
  for (const member of bag) {
    seen.push(member.name)
    bag.delete(member)
    bag.add({ name: 'late', index: -1 })
  }
  t.same(seen, ['a', 'b', 'c'])
  t.end()
})
