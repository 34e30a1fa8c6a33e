import assert from 'node:assert/strict'
import test from 'node:test'
import { apiFilter, viewWords, wordsOf } from './view-words.ts'

test('words form a filter, and an unknown word is refused', () => {
  const text = 'status:failed,canceled input.region:eu input.A:b kind:agent user:ann night db'
  const words = viewWords(text)
  assert.deepEqual(apiFilter(words), {
    status: 'failed,canceled',
    blueprint: 'agent',
    owner: 'ann',
    input: ['region=eu', 'A=b'],
    text: 'night db',
  })
  assert.equal(wordsOf(words), text)
  assert.deepEqual(
    apiFilter(
      viewWords(
        ' since:2026-01-31T00:00:00Z needs:me latest:1 workflow:a:b label:team=db,on sort:-name agent:codex repository:shop/web shared:1',
      ),
    ),
    {
      created_after: '2026-01-31T00:00:00.000Z',
      needs: 'me',
      latest: 'true',
      workflow_name: 'a:b',
      label: ['team=db', 'on'],
      sort: '-name',
      agent: 'codex',
      repository: 'shop/web',
      shared: 'true',
    },
  )
  assert.throws(() => viewWords('staus:failed'), /has an unknown word "staus:failed"/)
  assert.throws(() => apiFilter(viewWords('since:soon')), /since: is "soon"/)
})
