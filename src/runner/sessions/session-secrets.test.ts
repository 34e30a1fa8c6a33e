import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { filesWithSecrets, found, fromHub, token } from '../../../test/support/runner/secret-fixture.ts'
import { sessionPlace, updatesOf } from '../../../test/support/runner/session-fixture.ts'
import { secretMark } from '../../contract/step-secrets.ts'

const half = Math.floor(token.length / 2)
const secrets = { TOKEN: fromHub('TOKEN') }

test('an agent has its secrets, and nothing reported about the session contains one', async () => {
  using here = sessionPlace()
  const attempts = here.open({ outputDir: here.path })
  const mark = secretMark('TOKEN')
  const prompt = [
    `say first ${mark} and`,
    `say half ${token.slice(0, half)}`,
    `say ${token.slice(half)} whole`,
    `think ${token.slice(0, half)}`,
    `think ${token.slice(half)}`,
    `run printf %s "$TOKEN" >seen`,
    `wait seen`,
    `write ${mark}.txt`,
    `say {"answer":${JSON.stringify('ok')}}`,
  ].join('\n')
  const spec = here.spec(
    prompt,
    {
      verify: ['test -e seen && echo "$TOKEN"; test -e once || { touch once; exit 1; }'],
      output_path: 'kept',
    },
    { secrets, outputs: { ANSWER: 'answer', FILES: 'files', ALL: 'stdout' } },
  )
  const held = await attempts.start(spec, 1, { TOKEN: token })
  const end = await endOf(held)
  assert.equal(end.outcome, 'success', end.message)
  const updates = updatesOf(held)
  assert.deepEqual(found(JSON.stringify(held.reports)), [])
  const text = updates.flatMap((each) => (each.kind === 'message' ? [each.text] : [])).join('')
  assert.ok(text.startsWith('first *** andhalf *** whole'), text)
  const thoughts = updates.flatMap((each) => (each.kind === 'thought' ? [each.text] : []))
  assert.equal(thoughts.join(''), '***')
  const checks = updates.flatMap((each) => (each.kind === 'verify' && each.output ? [each.output] : []))
  assert.deepEqual(checks, ['***', '***'])
  const stdout = await textOf(held)
  assert.deepEqual(found(stdout), [])
  assert.equal(readFileSync(end.output_files!.stdout!, 'utf8'), stdout)
  const workspace = join(here.path, 'workspaces/run_test')
  assert.equal(readFileSync(join(workspace, 'seen'), 'utf8'), token)
  // Only what the agent itself wrote contains it: its work, and the fake agent's notes.
  assert.deepEqual(
    filesWithSecrets(here.path, (path) => path === workspace || path === here.log),
    [],
  )
  await held.release()
  await attempts.close()
})

test('a session that a later runner continues is masked as before', async () => {
  using here = sessionPlace()
  const go = join(here.path, 'workspaces/run_test/go')
  const spec = here.spec(
    `say a ${token.slice(0, half)}\nwait go\nsay ${token.slice(half)} z`,
    {},
    { secrets, outputs: { ANSWER: 'answer' } },
  )
  const first = here.open()
  const begun = await first.start(spec, 1, { TOKEN: token })
  await until(() => updatesOf(begun).some(({ kind }) => kind === 'message'))
  await first.close()
  const second = here.open()
  const [held] = await second.recover()
  writeFileSync(go, '')
  const end = await endOf(held!)
  assert.deepEqual(end.exports, { ANSWER: 'a *** z' })
  assert.equal(await textOf(held!), 'a *** z\n')
  const text = updatesOf(held!).flatMap((each) => (each.kind === 'message' ? [each.text] : []))
  assert.equal(text.join(''), 'a *** z')
  assert.deepEqual(found(JSON.stringify(held!.reports)), [])
  await second.close()
})

test('the last words of a failed agent are masked', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const command = ['/bin/sh', '-c', 'echo "bad key $TOKEN" >&2; exit 3']
  const held = await attempts.start(here.spec('say hi', { command }, { secrets }), 1, { TOKEN: token })
  const end = await endOf(held)
  assert.equal(end.reason, 'start_failed')
  assert.match(end.message!, /bad key \*\*\*/)
  assert.deepEqual(found(JSON.stringify(held.reports) + (await textOf(held, 'stderr'))), [])
  await attempts.close()
})
