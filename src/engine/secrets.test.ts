import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, step } from '../../test/support/scripted-engine.ts'
import { secretMark } from '../contract/step-secrets.ts'

const write = (content: string) => ({ action: 'file.write', args: { path: 'a', content } })
const mark = secretMark('TOKEN')

test('a step that names a secret gets a mark for it, whatever a variable of that name contains', async (t) => {
  const { play, host } = scriptedEngine(t)
  const steps = [
    step('with', { ...write('${TOKEN} ${OTHER}'), secrets: ['TOKEN'] }),
    step('without', { env: { SEEN: 'yes' } }),
  ]
  await play(steps, {}, { vars: { TOKEN: 'given', OTHER: mark } })
  const [first, second] = host.begun
  assert.equal(first!.args.content, `${mark} ${mark.replaceAll('\0', '')}`)
  assert.deepEqual(first!.secrets, { TOKEN: { from: 'hub', name: 'TOKEN', as: 'env' } })
  assert.ok(!('TOKEN' in first!.env))
  assert.deepEqual([second!.secrets, second!.env.TOKEN], [undefined, 'given'])
})

test('rollbacks, immediate and on demand, and retries have the secrets of their step', async (t) => {
  const { play, host, engine } = scriptedEngine(t, ({ step }) => (step === 'bad' ? 'failed' : 'success'))
  const one = step('one', { ...write('${TOKEN}'), secrets: ['TOKEN'], rollback: write('undo ${TOKEN}') })
  const done = await play([one], {}, { vars: { TOKEN: 'given' }, repository: 'shop' })
  for (const again of [
    await engine.rollback(done.run_id),
    await engine.retry(done.run_id, { only: 'all' }),
  ]) {
    await engine.done(again.run_id)
    assert.equal(again.repository, 'shop')
  }
  await play([one, step('bad')])
  const writes = host.begun.filter(({ step }) => step !== 'bad')
  assert.deepEqual(
    writes.map(({ args }) => args.content),
    [mark, `undo ${mark}`, mark, mark, `undo ${mark}`],
  )
  for (const { secrets, env } of writes) assert.ok(secrets?.TOKEN !== undefined && !('TOKEN' in env))
  assert.deepEqual(writes.map(({ repository }) => repository).slice(0, 3), ['shop', 'shop', 'shop'])
})

test('a sub-workflow belongs to the same repository, and is also checked', async (t) => {
  const requests: string[] = []
  const admit = async (run: { workflow_name: string; repository?: string }) => {
    requests.push(`${run.workflow_name} ${run.repository}`)
  }
  const { play } = scriptedEngine(t, undefined, { admit })
  const workflow = { version: 'v0.1', name: 'inner', steps: [step('x')] }
  await play([step('sub', { action: 'workflow.run', args: { workflow } })], {}, { repository: 'shop' })
  assert.deepEqual(requests, ['test shop', 'inner shop'])
})

test('a run that is not admitted leaves nothing behind', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, undefined, {
    admit: () => Promise.reject(new Error('no')),
  })
  await assert.rejects(submit([step('a')]), { message: 'no' })
  assert.deepEqual([(await engine.list({ limit: 10 })).runs, host.begun], [[], []])
})
