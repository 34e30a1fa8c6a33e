import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { RunSummary, RunView } from '../../contract/run.ts'
import { RunCreated, RunList } from '../../contract/run-api.ts'

test('creates a run from JSON, from a workflow as a value, and from YAML with variables in the address', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const json = await hub.call('POST', '/api/runs', token, { yaml: oneStep('say hi'), vars: { A: 1 } })
  assert.equal(json.status, 201)
  assert.equal(json.headers.get('location'), `/api/runs/${json.json.run_id}`)
  assert.equal(json.headers.get('x-content-type-options'), 'nosniff')
  RunSummary.parse(json.json)

  const workflow = {
    version: 'v0.1',
    name: 'value',
    steps: [{ name: 'one', action: 'cmd.run', args: { cmd: 'say hi' } }],
  }
  const value = await hub.call('POST', '/api/runs', token, { workflow })
  assert.equal(value.json.workflow_name, 'value')

  const yaml = await hub.call(
    'POST',
    '/api/runs?var=A=1&var=B=x%3Dy&run_id=named',
    token,
    oneStep('say hi'),
    {
      'content-type': 'application/yaml',
    },
  )
  assert.equal(yaml.status, 201)
  await hub.engine.done('named')
  const view = RunView.parse((await hub.call('GET', '/api/runs/named', token)).json)
  assert.deepEqual(view.vars, { A: '1', B: 'x=y' })
  assert.equal(view.status, 'success')
  const made = (await hub.call('GET', '/api/runs/named/workflow', token)).json
  assert.equal(made.workflow.steps[0].args.cmd, 'say hi')
  assert.deepEqual([made.given, made.left_out], [{ A: '1', B: 'x=y' }, []])
  const again = (await hub.call('POST', '/api/runs', token, { yaml: made.yaml })).json
  assert.equal(again.workflow_name, made.workflow_name)
})

test('checks values before a run begins, and runs nothing if they are invalid', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const yaml = `${oneStep('say hi')}inputs:\n  region: {enum: [eu, us], required: true}\n  API_TOKEN: {}\n`
  const { valid, workflow, vars } = (
    await hub.call('POST', '/api/validate', token, { yaml, vars: { region: 'mars', regio: 'eu' } })
  ).json
  assert.equal(valid, true)
  assert.deepEqual(
    workflow.inputs.map(({ name, secret, required }: never) => [name, secret, required]),
    [
      ['region', false, true],
      ['API_TOKEN', true, false],
    ],
  )
  assert.deepEqual(
    vars.map(({ name, hint }: never) => [name, hint]),
    [
      ['region', undefined],
      ['regio', 'did you mean "region"?'],
    ],
  )
  assert.equal((await hub.call('GET', '/api/runs', token)).json.runs.length, 0)
})

test('a list can be filtered, and paged without a gap', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const made: string[] = []
  for (const cmd of ['say 1', 'fail', 'say 3', 'fail', 'say 5']) {
    const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep(cmd) })).json
    await hub.engine.done(run_id)
    made.unshift(run_id)
  }
  const list = async (query: string) =>
    RunList.parse((await hub.call('GET', `/api/runs?${query}`, token)).json)
  const paged: string[] = []
  for (let cursor = ''; ; ) {
    const page = await list(`limit=2${cursor}`)
    paged.push(...page.runs.map(({ run_id }) => run_id))
    if (page.next_cursor === undefined) break
    cursor = `&cursor=${encodeURIComponent(page.next_cursor)}`
  }
  assert.deepEqual(paged.sort(), made.sort())
  assert.equal((await list('status=failed')).runs.length, 2)
  assert.equal((await list('status=failed,success')).runs.length, 5)
  assert.equal((await list('workflow_name=other')).runs.length, 0)
  assert.equal((await list('created_before=2001-01-01')).runs.length, 0)
})

test('the same key and body return the same run; the same key with another body is refused', async (t) => {
  const hub = await testingHub(t)
  const [ann, bob] = [await hub.user('ann'), await hub.user('bob')]
  const create = (token: string, cmd: string, key = 'k1') =>
    hub.call('POST', '/api/runs', token, { yaml: oneStep(cmd) }, { 'idempotency-key': key })
  const first = await create(ann.token, 'say hi')
  assert.equal(first.status, 201)
  const again = await create(ann.token, 'say hi')
  assert.equal(again.status, 200)
  assert.equal(again.json.run_id, first.json.run_id)
  const other = await create(ann.token, 'say ho')
  assert.equal(other.status, 409)
  assert.equal(other.json.error.code, 'idempotency_mismatch')
  assert.equal((await create(bob.token, 'say ho')).status, 201)
  assert.equal((await create(ann.token, 'say ho', 'k2')).status, 201)
})

test('twenty simultaneous requests with one key create one run', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const answers = await Promise.all(
    Array.from({ length: 20 }, () =>
      hub.call('POST', '/api/runs', token, { yaml: oneStep('say hi') }, { 'idempotency-key': 'k' }),
    ),
  )
  assert.equal(new Set(answers.map(({ json }) => json.run_id)).size, 1)
  assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(19).fill(200), 201])
  assert.equal((await hub.call('GET', '/api/runs', token)).json.runs.length, 1)
})

test('a refused request releases its key, and so does a key whose run was never created', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const create = (yaml: string) => hub.call('POST', '/api/runs', token, { yaml }, { 'idempotency-key': 'k' })
  assert.equal((await create('nonsense')).status, 400)
  const submit = hub.engine.submit.bind(hub.engine)
  hub.engine.submit = () => Promise.reject(new Error('the hub died here'))
  assert.equal((await create(oneStep('say hi'))).status, 500)
  hub.engine.submit = submit
  const made = await create(oneStep('say hi'))
  assert.equal(made.status, 201)
  assert.equal((await create(oneStep('say hi'))).json.run_id, made.json.run_id)
})

test('retries a failed run, and shows it in the format of the workflow runner', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('fail') })).json
  await hub.engine.done(run_id)
  const status = (await hub.call('GET', `/run-status?run_id=${run_id}`, token)).json
  assert.equal(status.status, 'failed')
  assert.equal(status.step, 'one')
  assert.equal(status.host, 'local')
  assert.ok(status.error && status.started_at && status.finished_at)
  for (const [path, body] of [
    ['retry', { only: 'failed' }],
    ['retry', undefined],
    ['rollback', undefined],
  ] as const) {
    const answer = await hub.call('POST', `/api/runs/${run_id}/${path}`, token, body)
    // No step succeeded, so there may be nothing to roll back.
    if (path === 'rollback' && answer.status !== 201) continue
    assert.equal(answer.status, 201, answer.text)
    assert.equal(answer.json.retry_of, run_id)
    assert.equal(answer.json.owner, 'ann')
  }
})

test('an approval is answered in the name of the user', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const yaml =
    'version: v0.1\nname: ask\nsteps:\n  - {name: gate, action: approval.wait, args: {message: Go?}}\n'
  for (const decision of ['approve', 'reject']) {
    const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml })).json
    const answer = await hub.call('POST', `/api/runs/${run_id}/${decision}`, token, {
      step: 'gate',
      comment: 'so be it',
    })
    assert.equal(answer.status, 200, answer.text)
    const { status } = await hub.engine.done(run_id)
    assert.equal(status, decision === 'approve' ? 'success' : 'failed')
    const events = (
      await hub.call('GET', `/api/runs/${run_id}/events`, token, undefined, { accept: 'application/json' })
    ).json
    const answered = events.find(({ type }: { type: string }) => type === 'approval.answered')
    assert.equal(answered.by, 'ann')
    assert.equal(answered.comment, 'so be it')
  }
})

test('the answer contains the warnings from the check of the workflow, each time', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const yaml =
    "version: v0.1\nname: w\nsteps:\n  - {name: a, action: vars.set, args: {vars: {V: x}}, needs: []}\n  - {name: b, action: noop, when: '${V}'}\n"
  for (let time = 0; time < 2; time++) {
    const { status, json } = await hub.call('POST', '/api/runs', token, { yaml })
    assert.equal(status, 201)
    const { warnings } = RunCreated.parse(json)
    assert.deepEqual(
      warnings?.map(({ severity, line, path }) => [severity, line, path]),
      [['warning', 5, 'steps[1].when']],
    )
  }
  const one = await hub.call('POST', '/api/runs', token, { yaml: oneStep('say hi') })
  assert.equal(one.json.warnings, undefined)
})

test('checks a file without running anything', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const good = await hub.call('POST', '/api/validate', token, { yaml: oneStep('say hi') })
  assert.deepEqual(good.json.problems, [])
  assert.deepEqual([good.json.valid, good.json.workflow.steps, good.json.workflow.hosts], [true, 1, 1])
  const bad = (
    await hub.call('POST', '/api/validate', token, { yaml: oneStep('x').replace('action', 'acton') })
  ).json
  assert.equal(bad.valid, false)
  assert.ok(
    bad.problems.some(
      ({ line, hint }: { line?: number; hint?: string }) => line === 5 && /action/.test(hint ?? ''),
    ),
  )
  const other = { yaml: 'version: v0.1\nname: w\nsteps: [{name: a, run: npm ci}]\n' }
  const { problems } = (await hub.call('POST', '/api/validate', token, other)).json
  const hint = 'write action: cmd.run and args: {cmd: npm ci}'
  assert.deepEqual(
    problems.map(({ hint }: { hint?: string }) => hint),
    [hint],
  )
  assert.equal((await hub.call('POST', '/api/runs', token, other)).json.error.hint, hint)
  assert.equal((await hub.call('GET', '/api/runs', token)).json.runs.length, 0)
})
