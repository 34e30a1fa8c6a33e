import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Route } from '../../../src/contract/routes/route.ts'
import { type RouteName, routes } from '../../../src/contract/routes/table.ts'
import { oneStep, type testingHub } from './hub-fixture.ts'

type ResourceKind =
  | 'run'
  | 'task'
  | 'stored'
  | 'slot'
  | 'bot'
  | 'job'
  | 'runner'
  | 'token'
  | 'user'
  | 'secret'
  | 'channel'
  | 'stream'
  | 'view'
  | 'group'

/**
 * The kind of thing that a path names. For another tenant, the thing does not exist. A path that names none is about
 * the caller and its tenant only.
 */
const kinds: Readonly<Record<string, ResourceKind>> = {
  '/api/runs/:id': 'run',
  '/run-status': 'run',
  '/api/tasks/:id': 'task',
  '/api/registry/tasks/:id': 'task',
  '/api/pool/slots/:id': 'slot',
  '/api/store/artifacts/:id': 'stored',
  '/api/store/artifacts/:run_id': 'run',
  '/api/bots/:id': 'bot',
  '/jobs/:id': 'job',
  '/api/runners/:id': 'runner',
  '/api/tokens/:id': 'token',
  '/api/users/:id': 'user',
  '/api/secrets/:name': 'secret',
  '/api/me/channels/:id': 'channel',
  '/api/events/:id': 'stream',
  '/api/views/:id': 'view',
  '/api/runner-groups/:name': 'group',
}

/** Returns the kind of thing that a route's path names, or undefined for none. */
export function kindOf(name: RouteName): ResourceKind | undefined {
  // It creates the caller's own secret, even if others have one of that name.
  if (name === 'PUT /api/secrets/:name') return undefined
  const path = name.split(' ')[1]!
  const found = Object.keys(kinds).find((prefix) => path === prefix || path.startsWith(`${prefix}/`))
  assert.ok(
    found !== undefined || !path.includes(':'),
    `${name}: define in test/support/hub/route-requests.ts what its path names`,
  )
  return found === undefined ? undefined : kinds[found]
}

/** Complete bodies, so that only the caller can be wrong about a request. */
const bodies: Partial<Record<RouteName, object | string>> = {
  'POST /api/runs': { yaml: oneStep('say hi') },
  'POST /api/tasks': { task: { title: 'say hi', repo_url: 'https://git.example/shop/web' } },
  'POST /api/tasks/:id/prompt': { prompt: 'more' },
  'PUT /api/registry/tasks/:id/status': { status: 'done' },
  'POST /api/registry/tasks/:id/events': { event_type: 'seen' },
  'POST /api/registry/tasks/:id/artifacts': { type: 'diff', uri: 'file:///diff' },
  'POST /api/pool/slots/allocate': {
    repo_url: 'https://git.example/shop/web',
    required_by: '7',
    timeout_seconds: 0,
  },
  'POST /api/chat': { message: 'say hi' },
  'POST /api/bots': { bot_id: 'another', code: 'x' },
  'PUT /api/uploads': 'an archive',
  'POST /jobs': { blueprint: 'bot_runner', data: { action: 'list' } },
  'POST /api/auth/password': { current_password: 'a guess', new_password: 'long enough' },
  'POST /api/validate': { yaml: oneStep('say hi') },
  'POST /api/tokens': { name: 'more' },
  'POST /api/me/channels': { kind: 'webhook', url: 'https://hooks.example/x' },
  'POST /api/views': { name: 'broken', filter: { status: 'failed' } },
  'POST /api/me/seen': { until: '2020-01-01T00:00:00Z' },
  'POST /api/users': { name: 'someone', password: 'long enough' },
  'PUT /api/secrets/:name': { value: 'of another tenant' },
  'PATCH /api/users/:id': { disabled: true },
  'POST /api/runs/:id/approve': { step: 'one' },
  'POST /api/runs/:id/reject': { step: 'one' },
  'POST /api/runs/:id/input': { close: true },
  'PUT /api/runs/:id/shares': { user: 'boss' },
  'POST /api/runner-groups': { name: 'gpu' },
  'PATCH /api/runner-groups/:name': { name: 'cpu' },
  'POST /api/runs/bulk': { action: 'cancel', filter: {} },
}

/** Returns a request of this route, complete except for the caller. */
export function requestOf(name: RouteName, id: string) {
  const { head, archive, body: takes }: Route = routes[name]
  const [method, path] = name.split(' ') as [string, string]
  const url = path
    .replace(/:id|:name|:run_id/, id)
    .replace(':number', '1')
    .replace(':stream', 'stdout')
    .replace(/lines\/search$/, 'lines/search?q=hi')
    .replace(/lines\/stretches$/, 'lines/stretches?stream=stderr')
    .replace('/run-status', `/run-status?run_id=${id}`)
    .replace(/workspace\/file$/, 'workspace/file?path=x')
    .replace(/shares$/, method === 'DELETE' ? 'shares?user=boss' : 'shares')
  const body = bodies[name] ?? (archive || takes ? {} : undefined)
  const headers = archive ? { 'content-type': 'application/gzip' } : undefined
  return { methods: head ? [method, 'HEAD'] : [method], url, body, headers }
}

/** Creates one thing of each kind that paths name. They belong to ann or to the tenant. */
export async function resourcesOf(t: TestContext, hub: Awaited<ReturnType<typeof testingHub>>) {
  const [ann, bob, boss] = [await hub.user('ann'), await hub.user('bob'), await hub.user('boss', 'admin')]
  const run = await hub.engine.submit({ yaml: oneStep('hold'), owner: 'ann', tenant: 'default' })
  const place = { tenant: 'default', name: 'DEPLOY_KEY', scope: 'tenant', scope_name: '' } as const
  await hub.secrets.set(place, 'a value that nobody sees', 'ann')
  const [token] = await hub.accounts.tokens({ user_id: ann.id })
  const made = await hub.bots.start({ owner: 'ann', tenant: 'default' }, { bot_id: 'secretary', code: 'x' })
  const task = { title: 'hold', repo_url: 'https://git.example/shop/web' }
  const { tasks } = (await hub.call('POST', '/api/tasks', ann.token, { task })).json
  const octets = { 'content-type': 'application/octet-stream' }
  const stored = await hub.call('POST', '/api/store/artifacts?type=log', ann.token, 'a log', octets)
  const held = { repo_url: task.repo_url, required_by: '7' }
  const slot = await hub.call('POST', '/api/pool/slots/allocate', ann.token, held)
  hub.host.queries.mostSlots = 100
  const channel = await hub.call('POST', '/api/me/channels', ann.token, bodies['POST /api/me/channels'])
  const view = await hub.call('POST', '/api/views', ann.token, bodies['POST /api/views'])
  await hub.call('POST', '/api/runner-groups', boss.token, { name: 'build-group' })
  const stop = new AbortController()
  t.after(() => stop.abort())
  const authorization = `Bearer ${ann.token}`
  const open = await fetch(`${hub.url}/api/events`, { headers: { authorization }, signal: stop.signal })
  const { value: start } = await open.body!.pipeThrough(new TextDecoderStream()).getReader().read()
  const ids = {
    channel: channel.json.id,
    view: view.json.id,
    group: 'build-group',
    stream: /"stream":"(\w+)"/.exec(start!)![1]!,
    task: tasks[0].id,
    slot: slot.json.slot_id,
    stored: stored.json.uri.split('/').at(-1),
    bot: made.bot_id,
    job: made.run_id,
    run: run.run_id,
    runner: 'runner-001',
    token: token!.id,
    user: ann.id,
    secret: place.name,
  }
  return { run, place, ids, ann, bob, boss }
}
