import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { ErrandError } from '../../src/contract/errors.ts'
import { forgeFetch } from '../../src/runner/git/policy-fetch.ts'
import { eventually } from '../support/errand-command.ts'
import { startForge } from '../support/forge/forge-stand-in.ts'
import { mailStandIn, webStandIn } from '../support/notify/channel-stand-ins.ts'
import { Front } from '../support/outside/front.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import { takingService } from '../support/outside/taking-service.ts'
import { throughManners } from '../support/outside/through-manners.ts'
import { workflowText } from '../support/programs.ts'

const LIMIT_MS = 400

const portOf = (url: string) => Number(new URL(url).port)

/** Starts a task registry that accepts everything. `took` returns the states that it received, as `ID STATUS`. */
async function registryStandIn(t: TestContext) {
  const { took, port } = await takingService(t, {})
  const states = () =>
    took.flatMap(({ path, body }) => {
      const [, id] = /\/tasks\/([^/]+)\/status$/.exec(path) ?? []
      return id === undefined ? [] : [`${id} ${JSON.parse(body).status}`]
    })
  return { took: states, port }
}

test('each service of the hub fails in every way, is named with its first failure, and is used again', async (t) => {
  const [forge, hook, topic, mail, registry] = [
    await startForge({ flavour: 'github' }),
    await webStandIn(t),
    await webStandIn(t),
    await mailStandIn(t),
    await registryStandIn(t),
  ]
  t.after(() => forge.stop())
  const fronts = {
    forge: await Front.open(t, { behind: portOf(forge.url) }),
    webhook: await Front.open(t, { behind: portOf(hook.url) }),
    ntfy: await Front.open(t, { behind: portOf(topic.url) }),
    // The greeting is not an answer yet: the answer is the message that a mail was accepted.
    smtp: await Front.open(t, { behind: portOf(mail.url), answersFrom: /^250 kept/m }),
    registry: await Front.open(t, { behind: registry.port }),
  }
  const allowed = ['forge', 'webhook', 'ntfy'] as const
  const allow = allowed.map((name) => `http://${fronts[name].host}`).join(',')
  const place = await hubPlace(t, {
    config: {
      forges: [{ host: fronts.forge.host, kind: 'github', api_url: `http://${fronts.forge.host}/api/v3` }],
    },
    hub: {
      forgeFetch: forgeFetch(allow, 'ERRAND_GIT_ALLOW'),
      forgeTimeoutMs: LIMIT_MS,
      notify: {
        fetch: forgeFetch(allow, 'ERRAND_NOTIFY_ALLOW')(undefined),
        mail: { url: `smtp://${fronts.smtp.host}`, from: 'errand@example.org' },
        timeoutMs: LIMIT_MS,
        retryMs: 100,
      },
      tasks: {
        run: async () => ({ yaml: workflowText([{ name: 'one', cmd: 'echo done' }]) }),
        registry: {
          url: `http://${fronts.registry.host}/api`,
          timeoutMs: LIMIT_MS,
          retries: 0,
        },
      },
    },
  })
  const { client, works, failing, run } = place

  /** Checks that the service is reported with its address and the start of its failure. Returns that time. */
  const named = async (service: string, address: string, beganMs: number) => {
    const [one] = await eventually(`${service} to be named`, async () => {
      const all = await failing(address)
      return all.length > 0 && all
    })
    assert.equal(one!.service, service)
    assert.ok(Date.parse(one!.since) >= beganMs && Date.parse(one!.since) <= Date.now(), one!.since)
    const metrics = (await place.metrics()).split('\n')
    assert.ok(metrics.includes(`errand_outside_services_failing{service="${service}"} 1`), metrics.join('\n'))
  }
  const forgotten = (address: string) =>
    eventually(`${address} to be healthy`, async () => (await failing(address)).length === 0)

  const repository = forge.makeRepository('shop/web', {
    files: { 'README.md': 'The shop.\n' },
    rights: { errand: 'write' },
  })
  let count = 0
  const newIssue = () => {
    const issue = forge.state.addIssue(repository, {
      title: `Issue ${++count}`,
      body: '',
      by: 'errand',
      labels: [],
    })
    return `http://${fronts.forge.host}/shop/web/issues/${issue.number}`
  }
  let issue = ''
  await throughManners(t, 'forge', {
    front: fronts.forge,
    works,
    async spoiled() {
      const beganMs = Date.now()
      issue = newIssue()
      const before = (await client.tasks.list()).tasks.length
      await assert.rejects(client.tasks.create({ issue }), (error: ErrandError) => {
        assert.ok(['forge_away', 'service_answer'].includes(error.code), `${error.code}: ${error.message}`)
        assert.ok(error.message.includes(fronts.forge.host), error.message)
        return true
      })
      assert.equal((await client.tasks.list()).tasks.length, before)
      await named('forge', fronts.forge.host, beganMs)
    },
    async mended() {
      await client.tasks.create({ issue })
      await forgotten(fronts.forge.host)
    },
  })

  const failed = async () => (await run({ name: 'fails', cmd: 'exit 3' })).run_id
  const placesUnder = {
    webhook: {
      add: { kind: 'webhook' as const, url: `http://${fronts.webhook.host}/hook` },
      has: (id: string) => hook.received.some(({ body }) => body.includes(id)),
    },
    ntfy: {
      add: { kind: 'ntfy' as const, url: `http://${fronts.ntfy.host}/topic` },
      has: (id: string) => topic.received.some(({ body }) => body.includes(id)),
    },
    smtp: {
      add: { kind: 'email' as const, address: 'ada@example.org' },
      has: (id: string) => mail.mails.some(({ text }) => text.includes(id)),
    },
  }
  /** Adds a place that is notified of failures, and returns access to its state. */
  const channel = async (kind: keyof typeof placesUnder) => {
    const { add, has } = placesUnder[kind]
    const { host } = fronts[kind]
    const { id } = await client.channels.add({ ...add, tells: ['failures'] })
    const view = async () => (await client.channels.list()).channels.find((one) => one.id === id)!
    let failedRun = ''
    return {
      front: fronts[kind],
      works,
      async spoiled() {
        const beganMs = Date.now()
        failedRun = await failed()
        await named(kind, host, beganMs)
        const { failure, waiting, last_sent_at } = await eventually('the record of the failure', async () => {
          const seen = await view()
          return seen.failure !== undefined && seen
        })
        assert.ok(failure!.message.includes(host), failure!.message)
        assert.deepEqual([waiting, failure!.dropped], [1, false])
        assert.ok((last_sent_at ?? '') < new Date(beganMs).toISOString())
      },
      async mended() {
        await eventually('the notice', () => has(failedRun))
        await eventually('the record of it', async () => (await view()).waiting === 0)
        await forgotten(host)
      },
      done: () => client.channels.remove(id),
    }
  }
  const webhook = await channel('webhook')
  const except = { page: 'any answer with 2xx says that a webhook was taken' }
  await throughManners(t, 'webhook', { ...webhook, except })
  await webhook.done()
  const ntfy = await channel('ntfy')
  await throughManners(t, 'ntfy', ntfy)
  await ntfy.done()
  const smtp = await channel('smtp')
  await throughManners(t, 'mail server', smtp)
  await smtp.done()

  await eventually('all earlier reports about tasks', () => registry.took().length >= 2 * count)
  let name = ''
  await throughManners(t, 'task registry', {
    front: fronts.registry,
    works,
    async spoiled() {
      const beganMs = Date.now()
      name = `told-${++count}`
      const { tasks } = await client.tasks.create({
        task: { title: name, task_id: name, repo_url: 'https://git.example/shop/web', agent: 'codex' },
      })
      await named('task_registry', `http://${fronts.registry.host}/api`, beganMs)
      // The failure makes no work fail.
      await eventually('the end of the task', async () => {
        const { state } = await client.tasks.get(tasks[0]!.id)
        return ['done', 'no_change', 'failed'].includes(state)
      })
    },
    async mended() {
      await eventually('the end to be reported', () =>
        registry
          .took()
          .some((one) => /^told-\d+ (done|no_change|failed)/.test(one) && one.startsWith(`${name} `)),
      )
      await forgotten(`http://${fronts.registry.host}/api`)
    },
  })
})
