import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { ErrandClient } from '../../../src/client/client.ts'
import type { WorkflowFile } from '../../../src/contract/workflow.ts'
import { eventually } from '../errand-command.ts'
import { runTurn, type Turn, writeFileTurn } from '../model-server/server.ts'
import type { Programs } from '../programs.ts'
import { MODEL_KEY, taskPlace } from '../tasks/task-place.ts'
import { password } from './browser.ts'

/** A hub as after some days of use, and the ids that its pages are opened with. */
export interface FilledHub {
  programs: Programs
  waits: string
  failed: string
  many: string
  queued: string
  session: string
  task: string
}

const tap = [
  'TAP version 13',
  'ok 1 - keeps the cursor when a filter changes',
  'ok 2 - refuses a foreign cursor',
  'ok 3 - keeps the scroll position',
  'ok 4 - pages backwards # SKIP',
  '1..4',
]

const listBefore = `export async function listRuns(query: RunQuery) {
  const filter = parseFilter(query)
  const limit = Math.min(query.limit ?? 50, 200)
  const after = query.cursor ? decode(query.cursor) : undefined
  const rows = await store.list({filter, after, limit: limit + 1})
  const next = rows.length > limit ? rows.pop() : undefined
  return {runs: rows, next_cursor: next && encode(next)}
}
`
const listAfter = `export async function listRuns(query: RunQuery) {
  const filter = parseFilter(query)
  const limit = Math.min(query.limit ?? 50, 200)
  const after = readCursor(query.cursor, filter)
  if (after === 'foreign') {
    throw badRequest('This cursor belongs to another filter.', {
      hint: 'Leave the cursor out to start at the newest run.',
    })
  }
  const rows = await store.list({filter, after, limit: limit + 1})
  const next = rows.length > limit ? rows.pop() : undefined
  return {runs: rows, next_cursor: next && encode(next, filter)}
}
`
const cursorFile = `// The filter's hash, so that a cursor can tell whose it is.
export function encode(run: RunRow, filter: Filter): string {
  const own = hash(filter).slice(0, 8)
  return toBase64Url([run.created_at, run.id, own].join('.'))
}
`
const cursorTest = `test('keeps the cursor when a filter changes', async () => {
  const page = await list({ status: 'failed' })
  assert.equal((await list({ cursor: page.next_cursor })).runs.length, 50)
})
`
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
const put = (path: string, text: string): string => `printf %s ${quoted(text)} > ${path}`

const retryBefore = `export interface Backoff {
  base: number
}

export function backoff(base: number, attempt: number) {
  const delay = base * 2 ** attempt
  return delay
}
`
const retryAfter = `export interface Backoff {
  base: number
  random?: () => number
}

export function backoff(base: number, attempt: number, random: () => number) {
  const delay = base * 2 ** attempt
  return Math.min(delay, MAX_DELAY_MS) * (0.5 + random() / 2)
}
`
const talk: Turn[] = [
  {
    thought: 'The delays double without a limit; who calls backoff, and what do its tests expect?',
    text: 'The delays double without a limit and without jitter: after an outage every client comes back in the same second. I cap them at 30 s, and test it with a fake clock.',
    ...writeFileTurn('src/http/retry.ts', retryBefore),
  },
  {
    text: 'Equal jitter fits: at least half of the delay stays, so a server that is down is still spared. I changed `backoff()` and made the clock injectable for its test.',
    ...writeFileTurn('src/http/retry.ts', retryAfter),
  },
  writeFileTurn(
    'test/http/retry.test.ts',
    "test('keeps half of the delay', () => {\n  assert.ok(backoff(100, 1, () => 0) >= 100)\n})\n",
  ),
  {
    text: 'All green. The consumers read the `next` tag, so I would publish it there for the canary.',
    ...runTurn('npm publish --tag next'),
  },
]

const smoke = `
printf '::group::Set up\\nnode v24.4.0\\nnpm ci\\nadded 214 packages in 3 s\\n::endgroup::\\n'
printf '\\033[1mSmoke tests against https://%s.example\\033[0m\\n' "$ERRAND_HOST"
printf '\\033[32m✓\\033[0m GET /health \\033[2m200 in 14 ms\\033[0m\\n'
printf '\\033[32m✓\\033[0m GET /api/version \\033[2m200 in 11 ms\\033[0m → \\033[36m"2026.11.4"\\033[0m\\n'
printf '\\033[32m✓\\033[0m POST /api/login \\033[2m200 in 88 ms\\033[0m\\n'
[ "$ERRAND_HOST" = eu-2 ] && [ "\${CANARY:-}" = 10 ] || { echo '9 of 9 checks passed'; exit 0; }
for try in 1 2 3; do printf '\\033[33m!\\033[0m GET /api/search?q=a timeout after 5000 ms, try %s of 3\\n' $try >&2; done
printf '\\033[31m✗ search answered nothing in 15 s\\033[0m\\n    at probe (smoke/search.ts:41:11)\\n    at async main (smoke/run.ts:18:3)\\n\\n' >&2
printf '\\033[1;31mError: upstream search-eu-2:9200 refused the connection (ECONNREFUSED), timeout 15000 ms\\033[0m\\n' >&2
echo '1 of 9 checks failed' >&2
exit 1
`
const run = (cmd: string) => ({ action: 'cmd.run' as const, args: { cmd } })
const web = ['eu-1', 'eu-2', 'us-1', 'us-2']
const deploy: WorkflowFile = {
  version: 'v0.1',
  name: 'deploy-web',
  inputs: { VERSION: { default: '2026.11.4' }, REGION: { default: 'eu,us' }, CANARY: { default: '0' } },
  inventory: { hosts: Object.fromEntries(web.map((host) => [host, { group: 'default' }])) },
  steps: [
    { name: 'checkout', ...run('echo "HEAD is now at 4f1c2aa Release $VERSION"') },
    { name: 'build', needs: ['checkout'], ...run('for i in 1 2 3 4 5 6; do echo "chunk $i of 6"; done') },
    {
      name: 'migrate',
      needs: ['checkout'],
      ...run('echo "2 migrations applied"'),
      rollback: run('echo "2 migrations undone"'),
    },
    {
      name: 'approve-staging',
      needs: ['build', 'migrate'],
      action: 'approval.wait',
      args: { message: 'Is staging fit?' },
    },
    { name: 'smoke-test', needs: ['approve-staging'], targets: web, ...run(smoke) },
    {
      name: 'approve-production',
      needs: ['smoke-test'],
      action: 'approval.wait',
      args: { message: 'Ship ${VERSION} to eu and us?' },
    },
    { name: 'ship', needs: ['approve-production'], targets: web, ...run('echo "$ERRAND_HOST has it"') },
  ],
  finally: [{ name: 'notify', ...run('echo "told the team"') }],
}

/** Creates ten days of somebody's work in half a minute: each kind of run, in each state that asks for a look. */
export async function fillHub(t: TestContext): Promise<FilledHub> {
  const work = [
    'mkdir -p src/runs test',
    put('src/runs/list.ts', listAfter),
    put('src/runs/cursor.ts', cursorFile),
    put('test/list.test.ts', cursorTest),
  ].join('; ')
  let messages = 0
  const { forge, repository, server, programs } = await taskPlace(t, {
    files: {
      'README.md': 'The shop.\n',
      Makefile: `.PHONY: test\ntest:\n${tap.map((line) => `\t@echo "${line}"\n`).join('')}`,
      'src/runs/list.ts': listBefore,
      'test/other.test.ts': "test('other', () => {})\n",
    },
    programs: { runner: 'none' },
    script: ({ model, prompts, toolResults }) => {
      if (model === 'sonnet') return talk[messages++] ?? { text: 'It is published.' }
      const all = prompts.join('\n')
      if (/Write a plan/.test(all))
        return {
          text: '1. Make a second password beside the first.\n2. Move the services over, one by one.\n3. Remove the first.',
        }
      return toolResults.length > 0
        ? { text: 'A cursor now knows the filter that it was made with.' }
        : runTurn(work)
    },
  })
  const { home, url } = programs
  const token = programs.client
  const startRunner = async (id: string, slots: number, ...more: string[]): Promise<void> => {
    const { token: own } = await token.tokens.create({ name: id, scope: 'runner' })
    const args = ['runner', '--id', id, '--workspace', join(home, id), '--slots', String(slots), ...more]
    const runner = programs.errand.start(args, {
      env: {
        ERRAND_HUB_URL: url,
        ERRAND_TOKEN: own,
        ERRAND_GIT_ALLOW: forge.url,
        OPENAI_BASE_URL: `${server.url}/v1`,
        OPENAI_API_KEY: MODEL_KEY,
      },
    })
    await runner.until('Connected to the hub')
  }
  await startRunner('runner-1', 12)
  await startRunner('runner-2', 8)
  await startRunner('gpu-1', 1, '--group', 'gpu', '--label', 'gpu=a100', '--label', 'cuda=12')
  for (const name of ['ann', 'bob', 'chi']) await token.users.create({ name, password, role: 'admin' })
  const as = async (name: string) =>
    new ErrandClient({ url, token: (await token.auth.login(name, password)).token })
  const [ann, bob, chi] = await Promise.all(['ann', 'bob', 'chi'].map(as))
  const hold = join(home, 'hold')

  const waitsAt = async (id: string, step: string) => {
    await eventually(`${step} of ${id}`, async () => {
      const { steps } = await token.runs.get(id)
      return ['running', 'waiting'].includes(steps.find((each) => each.step === step)?.status ?? '')
    })
    return id
  }
  const deployed = async (who: ErrandClient, fields: Record<string, string>) => {
    const { run_id } = await who.runs.create({ workflow: deploy, vars: fields })
    await waitsAt(run_id, 'approve-staging')
    await ann!.runs.approve(run_id, { step: 'approve-staging' })
    return run_id
  }
  const good = await deployed(bob!, { VERSION: '2026.11.3' })
  await waitsAt(good, 'approve-production')
  await ann!.runs.approve(good, { step: 'approve-production' })
  await programs.ended(good)

  const tasksMade = await token.tasks.create({
    task: {
      repo_url: repository.cloneUrl,
      task_id: '412',
      title: 'Keep the cursor when a filter changes',
      description: 'The list jumps to its first page when a filter is changed.',
      acceptance_criteria: [
        'keeps the cursor when a filter changes',
        'refuses a foreign cursor',
        'Works in the phone layout',
      ],
      test_commands: ['make test'],
      agent: 'builtin',
    },
  })
  const planned = await token.tasks.create({
    task: {
      repo_url: repository.cloneUrl,
      task_id: '31',
      title: 'Rotate the database password without downtime',
      plan: true,
      test_commands: ['make test'],
    },
  })
  const inState = (id: string, state: string) =>
    eventually(`${id} to be ${state}`, async () => (await token.tasks.get(id)).state === state)
  await inState(tasksMade.tasks[0]!.id, 'in_review')
  await inState(planned.tasks[0]!.id, 'waiting')

  const { run_id: images } = await bob!.runs.create({
    workflow: {
      version: 'v0.1',
      name: 'build-images',
      inputs: { TAG: { default: '2026.11.4' }, PUSH: { default: 'true' } },
      steps: ['base', 'web', 'worker', 'push'].map((name) => ({ name, ...run(`echo "${name} is built"`) })),
    },
  })
  const { run_id: nightly } = await token.runs.create({
    workflow: {
      version: 'v0.1',
      name: 'nightly-db',
      inputs: { KEEP: { default: '14' } },
      inventory: { hosts: { 'db-eu-1': { group: 'default' }, 'db-eu-2': { group: 'default' } } },
      steps: [
        { name: 'dump', ...run('echo "4.2 GB written"') },
        {
          name: 'verify-dump',
          targets: ['db-eu-1', 'db-eu-2'],
          ...run(
            '[ "$ERRAND_HOST" = db-eu-1 ] || { echo "checksum differs from the one of the dump" >&2; exit 3; }',
          ),
        },
        { name: 'prune', ...run('echo pruned') },
      ],
    },
  })
  const { run_id: certificates } = await chi!.runs.create({
    workflow: {
      version: 'v0.1',
      name: 'rotate-certificates-for-every-customer-domain-in-production',
      inputs: { DRY_RUN: { default: 'false' } },
      steps: [
        { name: 'list', ...run('echo "118 domains"') },
        { name: 'issue', ...run(`while [ ! -e ${hold} ]; do sleep 0.2; done`) },
        { name: 'deploy', ...run('true') },
      ],
    },
  })
  await waitsAt(certificates, 'issue')
  await ann!.runs.cancel(certificates)
  for (const id of [images, nightly, certificates]) await programs.ended(id)

  const failed = await deployed(bob!, { CANARY: '10' })
  await programs.ended(failed)
  const { run_id: many } = await ann!.runs.create({
    workflow: {
      version: 'v0.1',
      name: 'reindex-search',
      inputs: { SHARDS: { default: 'all' } },
      steps: [
        { name: 'plan-shards', ...run('echo "260 shards"') },
        { name: 'snapshot', ...run('echo "snapshot 8812 written"') },
        {
          name: 'reindex',
          foreach: Array.from({ length: 260 }, (_, at) => `tenant-${String(at + 1).padStart(4, '0')}`),
          max_parallel: 10,
          ...run(
            `case $ITEM in tenant-0041|tenant-0117) echo "mapping of $ITEM is refused" >&2; exit 9;; tenant-02[2-9]*) while [ ! -e ${hold} ]; do sleep 1; done;; esac`,
          ),
        },
        { name: 'swap-alias', ...run('echo swapped') },
      ],
      finally: [{ name: 'report', ...run('echo reported') }],
    },
  })
  const train = (name: string, fields: object) => ({
    version: 'v0.1',
    name,
    inputs: { EPOCHS: { default: '12' }, ...fields },
    inventory: { hosts: { gpu: { group: 'gpu' } } },
    steps: ['fetch', 'train', 'evaluate', 'publish'].map((step) => ({
      name: step,
      targets: ['gpu'],
      ...run(`while [ ! -e ${hold} ]; do sleep 1; done`),
    })),
  })
  await waitsAt((await chi!.runs.create({ workflow: train('nightly-eval', {}) })).run_id, 'fetch')
  const { run_id: queued } = await chi!.runs.create({ workflow: train('train-embedder', {}) })
  const waits = await deployed(bob!, {})
  await waitsAt(waits, 'approve-production')
  const { run_id: session } = await ann!.runs.create({
    agent: {
      prompt: 'Fix the retry backoff in the http client',
      agent: 'builtin',
      model: 'sonnet',
      isolation: 'none',
      interactive: true,
      budget: { turns: 20, seconds: 3600 },
      permissions: {
        mode: 'rules',
        rules: [{ decision: 'allow', tools: ['read', 'search', 'edit'] }],
        otherwise: 'ask',
        ask_timeout_seconds: 86_400,
      },
    },
  })
  for await (const event of token.events(session))
    if (event.type === 'agent.update' && event.update.kind === 'permission') break
  await eventually('the failures of many', async () => {
    const step = (await token.runs.get(many)).steps.find(({ step: name }) => name === 'reindex')
    return (step?.instances ?? []).filter(({ status }) => status === 'success').length > 200
  })
  return { programs, waits, failed, many, queued, session, task: tasksMade.tasks[0]!.id }
}
