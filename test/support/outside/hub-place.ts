import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { builtinActionRegistry } from '../../../src/actions/registry.ts'
import { ErrandClient } from '../../../src/client/client.ts'
import { isFinalRun } from '../../../src/contract/status.ts'
import { type HubOptions, startHub } from '../../../src/hub/start-hub.ts'
import { errandCommand, eventually } from '../errand-command.ts'
import { endProcessesOf, workflowText } from '../programs.ts'

export interface HubPlaceOptions {
  hub?: Partial<HubOptions>
  /** Content of `errand.yaml`. */
  config?: object
  runnerEnv?: NodeJS.ProcessEnv
}

/**
 * Starts a real hub in this process, so that a test can shorten its limits and its unhandled rejections fail the test,
 * and a real runner in a separate process.
 */
export async function hubPlace(t: TestContext, { hub: more, config, runnerEnv }: HubPlaceOptions = {}) {
  const errand = errandCommand(t)
  const data = mkdtempSync(join(tmpdir(), 'errand-outside-'))
  const file = config && join(data, 'errand.yaml')
  if (file !== undefined) writeFileSync(file, JSON.stringify(config))
  const log: string[] = []
  const hub = await startHub({
    ...{ data, host: '127.0.0.1', port: 0, version: '0.0.0-test', env: {}, config: file },
    isDurable: (action) => builtinActionRegistry[action]?.kind !== 'inline',
    own: { reportAdmin: () => {} },
    log: (line) => void log.push(line),
    ...more,
  })
  t.after(async () => {
    // Sessions outlive their runner.
    await endProcessesOf(errand.home)
    await hub.close()
    rmSync(data, { recursive: true, force: true })
  })
  /** Starts a runner of that name, and waits until it is connected. */
  const addRunner = async (id: string, env: NodeJS.ProcessEnv = {}) => {
    const folder = join(errand.home, id)
    const args = ['runner', '--id', id, '--workspace', folder, '--slots', '8']
    const started = errand.start(args, {
      env: { ERRAND_HUB_URL: hub.url, ERRAND_TOKEN: hub.runnerToken, ...env },
    })
    await started.until('Connected to the hub')
    return { ...started, folder }
  }
  const runner = await addRunner('apart', runnerEnv)
  const client = new ErrandClient({ url: hub.url, token: hub.localToken })

  const ended = (runId: string) =>
    eventually(`the end of ${runId}`, async () => {
      const view = await client.runs.get(runId)
      return isFinalRun(view.status) && view
    })
  /** Runs these steps and returns the end of the run. */
  const run = async (...steps: Parameters<typeof workflowText>[0]) => {
    const { run_id } = await client.runs.create({ yaml: workflowText(steps) })
    return await ended(run_id)
  }
  return {
    ...{ hub, log, client, runner, run, addRunner },
    home: errand.home,
    /** Returns the outside services at that address that the hub reports as failing. */
    failing: async (address: string) =>
      (await client.services()).failing.filter((one) => one.address === address),
    metrics: async () => {
      const headers = { authorization: `Bearer ${hub.localToken}` }
      return await (await fetch(`${hub.url}/metrics`, { headers })).text()
    },
    /**
     * Checks that work which needs none of them gets done, by the runner that was there from the beginning or by
     * another.
     */
    async works(id = 'apart'): Promise<void> {
      const inventory = { hosts: { here: { runner: id } } }
      const yaml = workflowText([{ name: 'plain', targets: ['here'], cmd: 'echo fine' }], { inventory })
      const { status, message } = await ended((await client.runs.create({ yaml })).run_id)
      if (status !== 'success') throw new Error(`a plain command ended so: ${status}, ${message}`)
      if (runner.child.exitCode !== null || runner.child.signalCode !== null)
        throw new Error(`the runner has ended: ${runner.printed.stderr}`)
    },
  }
}
