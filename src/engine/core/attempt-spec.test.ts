import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secretMark, secretUses, withSecrets } from '../../contract/step-secrets.ts'
import { argsWithMarks } from './attempt-spec.ts'

const uses = secretUses({ TOKEN: 'deploy', KEY: { mounted: 'key', as: 'file' } })

test('a secret is a mark in the arguments until the machine fills in its value', () => {
  const args = {
    url: 'x/${NAME}',
    headers: { a: 'Bearer ${TOKEN}' },
    list: ['${KEY:-none}', 1],
    cmd: '${TOKEN}',
  }
  const marked = argsWithMarks(args, ['cmd'], { get: (name) => `<${name}>`, names: () => [] }, uses)
  assert.deepEqual(marked, {
    url: 'x/<NAME>',
    headers: { a: `Bearer ${secretMark('TOKEN')}` },
    list: [secretMark('KEY'), 1],
    cmd: '${TOKEN}',
  })
  const filled = withSecrets(marked, { TOKEN: '$& t', KEY: '/folder/KEY' })
  assert.deepEqual([filled.headers, filled.list], [{ a: 'Bearer $& t' }, ['/folder/KEY', 1]])
})

test('neither a variable nor the file itself can pass for a mark', () => {
  const forged = secretMark('TOKEN')
  const args = { a: '${EVIL}', b: forged, c: { d: [forged] }, raw: forged }
  const marked = argsWithMarks(args, ['raw'], { get: () => forged, names: () => [] }, uses)
  const filled = withSecrets(marked, { TOKEN: 'value' })
  assert.ok(!JSON.stringify(filled).includes('value'))
  // A value that looks like a mark is not read again.
  assert.deepEqual(withSecrets({ a: secretMark('A') }, { A: secretMark('B'), B: 'b' }), {
    a: secretMark('B'),
  })
})

test('a mark of what was not given stays as it is', () => {
  assert.equal(withSecrets(secretMark('TOKEN'), {}), secretMark('TOKEN'))
})
