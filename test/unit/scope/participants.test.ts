import t from 'tap'
import { Participants } from '../../../lib/scope/participants.ts'
import type { Participant } from '../../../lib/session/participant.ts'

void t.test('changes that cannot be counted count as lost', async t => {
  const participants = new Participants({ kind: 'request' }, () => { throw new Error('there is nothing to report') })
  const counting = (countUnflushed: () => Record<string, number>) => ({ isAutomatic: true, database: { listeners: { telling: () => [] } }, countUnflushed }) as unknown as Participant
  participants.add(counting(() => ({})))
  t.equal(participants.hasLost(), false)
  participants.add(counting(() => { throw new Error('a value that cannot be converted') }))
  t.equal(participants.hasLost(), true)
})
