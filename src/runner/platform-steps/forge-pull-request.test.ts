import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { type Flavour, startForge } from '../../../test/support/forge/forge-stand-in.ts'
import { attemptSpec, place } from '../../../test/support/runner/attempt-fixture.ts'
import { builtinActionRegistry } from '../../actions/registry.ts'
import { tokenLookup } from '../git/repository-token.ts'
import { gitPolicy, openCheckouts } from '../open-checkouts.ts'
import { type ForgeStepOptions, forgePullRequest, linkByHand } from './forge-pull-request.ts'
import { type PlatformContext, type StepFact, StepFailure } from './platform-step.ts'

/** Makes a forge with a pushed branch, and the step as the driver would run it. */
async function world(t: TestContext, flavour: Flavour) {
  const standIn = await startForge({ flavour })
  t.after(async () => await standIn.stop())
  const path = flavour === 'gitlab' ? 'acme/tools/app' : 'acme/app'
  const rights = { errand: 'write', ada: 'write' } as const
  const repository = standIn.makeRepository(path, { files: { 'a.txt': 'one\n' }, isPrivate: true, rights })
  const sha = standIn.state.commit(path, 'errand/work', { 'b.txt': 'two\n' }, 'Work', 'errand')
  const token = standIn.makeToken('errand', { right: 'write' })
  const args = {
    ...{
      repo: repository.cloneUrl,
      head: 'errand/work',
      base: 'main',
      sha,
      title: 'Add b',
      body: 'Made by Errand',
    },
    ...{ labels: ['errand'], reviewers: ['ada'], forge: { kind: flavour }, retry_count: 0 },
    status: { state: 'success', context: 'errand', description: '3 tests passed' },
  }
  const run = async (
    more: object = {},
    env: Record<string, string> = { GIT_TOKEN: token },
    options: ForgeStepOptions = {},
  ) => {
    const reports: StepFact[] = []
    let log = ''
    const context = {
      args: prepared({ ...args, ...more }),
      env,
      spec: {},
      signal: new AbortController().signal,
      write: (_: string, text: string) => {
        log += text
      },
      phase: () => undefined,
      report: (fact: StepFact) => void reports.push(fact),
    } as unknown as PlatformContext
    try {
      const { exports } = await forgePullRequest(options).run(context)
      return { exports, failure: undefined, reports, log }
    } catch (error) {
      assert.ok(error instanceof StepFailure)
      return { exports: undefined, failure: error, reports, log }
    }
  }
  return { standIn, repository, sha, token, given: args, run, url: `${standIn.url}/${path}` }
}

function prepared(args: object): unknown {
  const action = builtinActionRegistry['forge.pull_request']
  assert.ok(action?.kind === 'platform')
  return action.prepare({ ...attemptSpec('forge.pull_request', args), action: 'forge.pull_request' })
}

const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)

for (const flavour of ['github', 'gitea', 'gitlab'] as const) {
  const posts = flavour === 'gitlab' ? /\/merge_requests$/ : /\/pulls$/

  test(`${flavour}: a killed step that runs again reports the single pull request that it created`, async (t) => {
    const { repository, run, given, sha, token } = await world(t, flavour)
    // Killed as the answer comes: the forge has it, and nobody knows.
    const script = `
      const { forgePullRequest } = await import(${module('./forge-pull-request.ts')})
      const real = globalThis.fetch
      globalThis.fetch = async (url, init) => {
        const answer = await real(url, init)
        if (init?.method === 'POST' && ${posts}.test(new URL(url).pathname)) process.kill(process.pid, 'SIGKILL')
        return answer
      }
      await forgePullRequest().run({
        args: ${JSON.stringify(prepared(given))}, env: { GIT_TOKEN: ${JSON.stringify(token)} }, spec: {},
        signal: new AbortController().signal, write() {}, phase() {}, report() {},
      })`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
    assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL'])
    assert.equal(repository.tickets.length, 1)

    const { exports, reports, log } = await run()
    const [ticket] = repository.tickets
    assert.equal(repository.tickets.length, 1)
    assert.deepEqual(
      [ticket!.labels, repository.checks.map((one) => [one.sha, one.state])],
      [['errand'], [[sha, 'success']]],
    )
    const { url } = (reports[0] as Extract<StepFact, { type: 'pull_request' }>).pull_request
    assert.deepEqual(reports, [
      {
        type: 'pull_request',
        pull_request: { url, number: 1, state: 'open', draft: true, head: 'errand/work' },
      },
    ])
    assert.deepEqual(exports, { PR_URL: url, PR_NUMBER: '1', PR_STATE: 'open' })
    assert.match(url, /\/(pull|pulls|merge_requests)\/1$/)
    assert.ok(!log.includes(token))
  })

  test(`${flavour}: a refusal by the forge names the branch, and where to open the pull request by hand`, async (t) => {
    const { standIn, repository, run, url, token } = await world(t, flavour)
    const read = standIn.makeToken('eve', { right: 'read' })
    repository.rights.eve = 'read'
    const { failure, reports } = await run({}, { GIT_TOKEN: read })
    assert.equal(failure?.reason, 'pull_request')
    assert.match(failure.message, /The branch errand\/work is pushed/)
    const link = linkByHand(
      flavour,
      { protocol: 'http', host: standIn.host, path: repository.path },
      { head: 'errand/work', base: 'main' },
    )
    assert.ok(link.startsWith(url) && failure.hint?.endsWith(link), failure.hint)
    assert.deepEqual(reports, [])
    assert.ok(!`${failure.message} ${failure.hint}`.includes(token))
    assert.match((await run({}, {})).failure!.message, /no token in GIT_TOKEN/)
    standIn.fault({ match: /^GET /, times: 20, how: { status: 500 } })
    assert.equal((await run()).failure?.reason, 'pull_request')
  })
}

test('labels, reviewers and a status that cannot be set are reported, and fail nothing', async (t) => {
  const { standIn, run } = await world(t, 'github')
  standIn.fault({ match: /\/(labels|requested_reviewers|statuses)/, times: 20, how: { status: 403 } })
  const { exports, log, reports } = await run()
  assert.equal(exports?.PR_NUMBER, '1')
  assert.equal(reports.length, 1)
  assert.match(log, /labels .*could not be set/)
  assert.match(log, /ada could not be asked for a review/)
  assert.match(log, /The status of commit [0-9a-f]+ could not be set/)
})

test('a pull request that a person closed stays closed, and a merged one is reported', async (t) => {
  const { standIn, repository, run } = await world(t, 'github')
  await run()
  const [ticket] = repository.tickets
  standIn.state.edit(ticket!, { isOpen: false }, 'ada')
  assert.equal((await run()).exports?.PR_STATE, 'closed')
  standIn.state.edit(ticket!, { isOpen: true }, 'ada')
  standIn.state.merge(repository, ticket!)
  assert.equal((await run()).exports?.PR_STATE, 'merged')
  assert.equal(repository.tickets.length, 1)
})

test('branch names are encoded correctly in addresses', () => {
  const at = { protocol: 'https', host: 'forge.example', path: 'acme/app' } as const
  const branches = { head: 'errand/a#b', base: 'v1 x' }
  assert.equal(
    linkByHand('github', at, branches),
    'https://forge.example/acme/app/compare/v1%20x...errand/a%23b?expand=1',
  )
  assert.equal(
    new URL(linkByHand('gitlab', at, branches)).searchParams.get('merge_request[source_branch]'),
    'errand/a#b',
  )
})

test("requests follow the machine's rules, and its token goes only to the repository's host", async (t) => {
  const { standIn, run, token, sha } = await world(t, 'gitea')
  const elsewhere = await startForge({ flavour: 'gitea' })
  t.after(async () => await elsewhere.stop())
  const policy = (servers: string) => gitPolicy({ ERRAND_GIT_ALLOW: servers })
  const own = tokenLookup({ GIT_TOKEN: token })
  const first = standIn.seen.length
  const closed = await run({}, {}, { policy: policy(''), tokenOf: own })
  assert.match(closed.failure!.message, /is not encrypted|not on the public internet/)
  assert.match(closed.failure!.hint!, /ERRAND_GIT_ALLOW=/)
  assert.equal(standIn.seen.length, first)
  const allowed = policy(`${standIn.url},${elsewhere.url}`)
  const forge = { kind: 'gitea', api_url: elsewhere.apiUrl }
  const led = await run({ forge }, {}, { policy: allowed, tokenOf: own })
  assert.match(led.failure!.message, /no token in GIT_TOKEN/)
  assert.deepEqual(elsewhere.seen, [])
  const done = await run({}, {}, { policy: allowed, tokenOf: own })
  assert.equal(done.exports?.PR_STATE, 'open', JSON.stringify([done.failure?.message, sha]))
})

test('a runner that has checkouts runs the step', async () => {
  using here = place()
  const { checkouts, platformStep } = openCheckouts(here.path, {}, () => undefined)
  assert.equal(typeof (await platformStep('forge.pull_request'))?.run, 'function')
  await checkouts.close()
})
