import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { runnerEnvironment, slotsOption } from '../../../config/environment.ts'
import { setting } from '../../../config/read-setting.ts'
import type { AgentState } from '../../../contract/agent.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { Log } from '../../../platform/log.ts'
import { giveBackMemory } from '../../../platform/release-memory.ts'
import type { RunnerStop as MachineStop } from '../../../runner/attempts/runner-stop.ts'
import type { HubLinkOptions } from '../../../runner/link/hub-link.ts'
import type { Attempts } from '../../../runner/ports.ts'
import type { AgentBoxes } from '../../../runner/sessions/machine-agents.ts'
import type { LeasedSlots } from '../../../runner/workspaces/leased-slots.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { exitCodes } from '../../exit-codes.ts'
import { ownPlaces } from '../../local/errand-home.ts'
import { takeFolderLock } from '../../local/folder-lock.ts'
import { checkedName, keyValues, portOption } from '../../option-values.ts'
import { programLog, untilSignal } from '../../until-signal.ts'
import { productVersion } from '../../version.ts'
import { enroll } from './runner-enroll.ts'
import { identityOf, runnerWorkspace, workspaceOption } from './runner-enrolment.ts'
import { servicesElsewhere, slotFoldersOf } from './services-elsewhere.ts'

const start = command({
  summary: 'Start a runner: it connects to a hub and runs steps on this machine.',
  options: {
    url: {
      type: 'string',
      value: 'URL',
      help: 'Address of the hub (default: ERRAND_HUB_URL, or the hub of its enrolment)',
    },
    token: {
      type: 'string',
      value: 'TOKEN',
      help: 'Runner token (default: ERRAND_TOKEN, or the token of its enrolment)',
    },
    id: { type: 'string', value: 'ID', help: 'Unique id (default: ERRAND_RUNNER_ID, the hostname)' },
    group: { type: 'string', value: 'GROUP', help: 'Group (default: ERRAND_GROUP, "default")' },
    label: {
      type: 'string',
      multiple: true,
      value: 'K=V',
      help: 'Label that steps can ask for, in addition to ERRAND_LABELS',
    },
    ...workspaceOption,
    'allow-dir': {
      type: 'string',
      multiple: true,
      value: 'DIR',
      help: 'Folder that agents may work in, besides the workspaces of their runs',
    },
    slots: {
      type: 'string',
      value: 'N',
      help: 'Steps at once (default: ERRAND_SLOTS, four per core, at least 8)',
    },
    'until-stdin-ends': {
      type: 'boolean',
      help: 'End when standard input ends; for programs that start a runner',
    },
  },
  examples: [
    'errand runner enroll --hub http://hub:3000 --token errand_enroll_... && errand runner',
    'errand runner --url http://hub:3000 --token errand_runner_...',
    'errand runner --group gpu --label gpu=1',
  ],
  async run(options) {
    const found = runnerEnvironment(process.env)
    if (options.id !== undefined) checkedName('--id', options.id)
    const group = options.group === undefined ? found.group : checkedName('--group', options.group)
    const labels = { ...labelValues(found.labels, 'ERRAND_LABELS'), ...labelValues(options.label, '--label') }
    const offered = slotsOption(options.slots) ?? found.slots
    const folder = runnerWorkspace(options.workspace, found)
    const stop = new AbortController()
    /** Finishes the work that would end with this process; set once the runner is connected. */
    let finish = async (): Promise<void> => {}
    let machineStop: MachineStop | undefined
    const leave = (): void => {
      machineStop?.announce()
      void finish().then(() => stop.abort())
    }
    // Registered before there is anything to clean up.
    void untilSignal().then(leave)
    const lock = takeFolderLock({ path: folder, what: 'workspace', option: '--workspace' }, 'lock')
    if ('holder' in lock) {
      throw new ErrandError(
        'data_folder_locked',
        `The workspace ${folder} is in use by the runner with process id ${lock.holder.pid}.`,
        {
          hint: 'Give each runner on this machine its own folder with --workspace.',
        },
      )
    }
    if (options['until-stdin-ends']) process.stdin.on('end', leave).resume()
    const log = programLog({ runner_id: options.id ?? found.runnerId })
    const [
      { inlineDone, openAttempts },
      { builtinActionRegistry },
      { HubLink },
      { HubRequests },
      { RunnerStop },
      { mountedSecretsDir },
      { ownSecrets },
      { ArtifactKeeper },
      { HubArtifacts },
      limitsHere,
      boxesHere,
      { openCheckouts },
      { startGuard },
      { OwnEnd },
      { HubRetry },
      { markedEnvironment },
      agents,
      bots,
    ] = await Promise.all([
      import('../../../runner/open-attempts.ts'),
      import('../../../actions/registry.ts'),
      import('../../../runner/link/hub-link.ts'),
      import('../../../runner/link/hub-requests.ts'),
      import('../../../runner/attempts/runner-stop.ts'),
      import('../../../runner/secrets/machine-secrets.ts'),
      import('../../../runner/secrets/own-secrets.ts'),
      import('../../../runner/artifacts/artifact-keeper.ts'),
      import('../../../runner/artifacts/hub-artifacts.ts'),
      import('../../../runner/limits/limit-keeper.ts'),
      import('../../../runner/open-boxes.ts'),
      import('../../../runner/open-checkouts.ts'),
      import('../../../runner/orphans/guard.ts'),
      import('../../../runner/orphans/own-end.ts'),
      import('../../../runner/link/hub-retry.ts'),
      import('../../../runner/attempts/launch.ts'),
      agentsHere(folder, options['allow-dir'] ?? []),
      botsHere(),
    ])
    let attempts: Attempts | undefined
    const watches: { close(): void | Promise<void> }[] = []
    const retry = new HubRetry()
    let guard: ReturnType<typeof startGuard> | undefined
    let ownEnd: InstanceType<typeof OwnEnd> | undefined
    try {
      if (found.made !== undefined) {
        ownEnd = new OwnEnd({
          ...{ folder, retry, log },
          work: () => ({ attempts: attempts?.all() ?? [], runs: attempts?.runs() ?? [] }),
          end: () => stop.abort(),
        })
        watches.push(ownEnd)
      }
      // This comes before anything looks for keys.
      const gate = await gateHere(process.env, stop.signal, log)
      if (gate !== undefined) watches.push(gate)
      if (stop.signal.aborted) return 0
      const limits = limitsHere.limitsHere(join(folder, 'attempts'), process.env)
      log(limitsHere.limitsText(limits.choice))
      const { url, token, id } = await identityOf(options, found, folder, { log, signal: stop.signal })
      const hub = new HubRequests({ url, token, retry })
      const boxes = await boxesHere.openBoxes({
        env: process.env,
        stateDir: join(folder, 'sandbox'),
        hidden: [...ownPlaces(), resolve(folder)],
        hub: url,
      })
      log(boxes.text)
      const services = bots.machineBots({ folder, env: process.env, hub })
      const slotFolders = slotFoldersOf(folder, options['allow-dir'] ?? [])
      const { checkouts, platformStep, ...slots } = openCheckouts(
        join(folder, 'checkouts'),
        process.env,
        log,
        slotFolders,
      )
      const leased = slots.leased()
      watches.push(checkouts, leased)
      const sink = new HubArtifacts(hub)
      const { slots: foreign, outbox } = await servicesElsewhere(process.env, {
        ...{ folder, slotFolders, sink, log },
      })
      for (const each of [foreign, outbox]) if (each !== undefined) watches.push(each)
      machineStop = new RunnerStop({ file: join(folder, 'stopped.json') })
      guard = startGuard(folder, process.env)
      attempts = openAttempts({
        stop: machineStop,
        env: markedEnvironment(process.env, folder),
        dir: join(folder, 'attempts'),
        limits,
        boxes,
        workspaceDir: join(folder, 'runs'),
        outputDir: folder,
        registry: builtinActionRegistry,
        agents: {
          ...agents.options,
          runnerId: id,
          attachments: sink,
        },
        bots: services,
        checkouts: foreign?.over(checkouts) ?? checkouts,
        platformStep: foreign?.steps(platformStep) ?? platformStep,
        artifacts: new ArtifactKeeper(outbox ?? sink),
        ownSecrets: ownSecrets(process.env, token),
        mountedSecretsDir: mountedSecretsDir(process.env),
        log,
      })
      await attempts.recover()
      const held = attempts
      const link = new HubLink({
        url,
        token,
        attempts,
        retry,
        answer: bots.answers(services, leased, held),
        bots: () => services.live.all(),
        leaseFile: join(folder, 'lease.json'),
        signal: stop.signal,
        log,
        identity: {
          version: productVersion,
          runner_id: id,
          tenant: found.tenantId,
          group,
          labels,
          mode: found.mode,
          limits: limits.choice.heldBy,
          isolation: boxes.offered,
          hostname: found.hostname,
          cpus: found.cpus,
          memory_bytes: found.memoryBytes,
          slots: offered,
          bots: bots.toldCaps(services.caps),
        },
      })
      finish = () => {
        link.drain()
        return inlineDone(held, builtinActionRegistry)
      }
      watches.push(
        agents.watch(boxes, (states) => link.send({ type: 'agents', agents: states })),
        boxes.watch((isolation) => link.send({ type: 'isolation', isolation })),
        bots.watchEngine(process.env, (containers) => link.send({ type: 'containers', containers })),
        new bots.BotSweeps({ services, holds: (id) => held.get(id) !== undefined, log }),
        services,
        { close: services.live.onNews((bots) => link.send({ type: 'bots', bots })) },
      )
      watches.push({ close: giveBackMemory() })
      await link.run()
    } finally {
      process.stdin.destroy()
      await attempts?.close()
      for (const watch of watches) await watch.close()
      guard?.close()
      lock.release()
    }
    return ownEnd?.folderGone ? exitCodes.failed : exitCodes.success
  },
})

async function botsHere() {
  const [{ machineBots }, { capsToReport }, { watchDocker: watchEngine }, { BotSweeps }] = await Promise.all([
    import('../../../runner/bots/bot-services.ts'),
    import('../../../runner/bots/bot-caps.ts'),
    import('../../../runner/bots/docker-here.ts'),
    import('../../../runner/bots/bot-sweeps.ts'),
  ])
  const answers =
    (
      services: ReturnType<typeof machineBots>,
      leased: LeasedSlots,
      held: Attempts,
    ): HubLinkOptions['answer'] =>
    async (askId, ask, signal) =>
      'slot_id' in ask
        ? await leased.answer(ask, signal)
        : 'attempt_id' in ask
          ? await (await import('../../../runner/workspace-view/answer-queries.ts')).answerOf(
              held,
              ask,
              (text) => services.options.sendData(askId, () => Readable.from([Buffer.from(text)]), signal),
            )
          : (await import('../../../runner/bots/bot-data.ts')).answerData(askId, ask, services, signal)
  return { machineBots, toldCaps: capsToReport, watchEngine, BotSweeps, answers }
}

async function agentsHere(folder: string, allowedDirs: readonly string[]) {
  const [{ machineAgents }, { agentsFolder }, { AgentServices }, { watchAgents }] = await Promise.all([
    import('../../../runner/sessions/machine-agents.ts'),
    import('../../../agents/install/native-binary.ts'),
    import('../../../runner/sessions/agent-services.ts'),
    import('../../../runner/sessions/machine-agents.ts'),
  ])
  const dirs = allowedDirs.map((dir) => resolve(dir))
  const options = machineAgents({ folder: agentsFolder(process.env), stateDir: folder, allowedDirs: dirs })
  const services = new AgentServices(options, process.env)
  const watch = (boxes: AgentBoxes, report: (agents: AgentState[]) => void) =>
    watchAgents(services, boxes, report)
  return { options, watch }
}

/** Joins the gate to models and puts its variables, instead of keys, into `env`; undefined if no gate is set. */
async function gateHere(env: NodeJS.ProcessEnv, signal: AbortSignal, log: Log) {
  const folder = setting(env, 'ERRAND_MODEL_GATE')
  if (folder === undefined) return undefined
  const { joinGate } = await import('../../../runner/model-gate/join-gate.ts')
  const onGone = () => log('The model gate is gone. Agents can no longer reach models.', { level: 'error' })
  const gate = await joinGate(folder, { signal, onGone })
  Object.assign(env, gate?.env)
  return gate
}

function labelValues(values: string[] | undefined, where: string): Record<string, string> {
  const labels = keyValues(where, values)
  for (const [name, value] of Object.entries(labels)) {
    checkedName(where, name)
    if (value !== '') checkedName(`the value of ${where} ${name}`, value)
  }
  return labels
}

const modelGate = command({
  summary: 'Start the model gate: answer model requests for a runner that has no keys.',
  options: {
    folder: {
      type: 'string',
      value: 'DIR',
      help: 'Folder shared with the runner (default: ERRAND_MODEL_GATE)',
    },
    port: { type: 'string', value: 'PORT', help: 'Port of 127.0.0.1 (default: 3128)' },
  },
  examples: ['ANTHROPIC_API_KEY=... ERRAND_MODEL_GATE=/run/gate errand runner model-gate'],
  async run(options) {
    const folder = options.folder ?? setting(process.env, 'ERRAND_MODEL_GATE')
    if (folder === undefined)
      throw new UsageError('the folder of the gate is missing', 'set it with --folder or ERRAND_MODEL_GATE')
    const log = programLog()
    const [{ ModelGate }, { agentRegistry }, { pricesFrom }] = await Promise.all([
      import('../../../runner/model-gate/model-gate.ts'),
      import('../../../agents/registry.ts'),
      import('../../../runner/proxy/prices.ts'),
    ])
    const gate = await ModelGate.open({
      ...{ folder, log, agents: agentRegistry, env: process.env },
      port: options.port === undefined ? undefined : portOption(options.port),
      prices: pricesFrom(setting(process.env, 'ERRAND_MODEL_PRICES')),
    })
    log('The model gate is open.')
    // A pod stops all of its containers at once, and the runner may still have work to finish.
    void untilSignal().then(() => gate.leaveUnused())
    await gate.left
    await gate.close()
    return 0
  },
})

export const runner: CommandGroup = {
  summary: 'Start a runner on this machine, or enrol this machine as a runner.',
  alone: start,
  commands: { enroll, 'model-gate': modelGate },
}
