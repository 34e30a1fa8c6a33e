import { boxAsk, boxOptions } from '../../box-options.ts'
import { command, UsageError } from '../../command.ts'
import { hubOptions } from '../../option-values.ts'
import { runOptions } from '../../run-options.ts'
import { fileArgument, fileOption } from '../../workflow-source.ts'

export const run = command({
  summary: 'Run a workflow file: on this machine, or on a hub and its runners with --hub.',
  args: '[file|-]',
  options: {
    ...fileOption,
    ...runOptions,
    ...boxOptions,
    state: {
      type: 'string',
      value: 'DIR',
      help: 'Keep the run in this folder, so that it can be resumed',
    },
    resume: { type: 'string', value: 'ID', help: 'Resume this run of --state' },
    hub: { type: 'boolean', help: 'Run it on a hub' },
    repository: { type: 'string', value: 'NAME', help: 'With --hub: repository that the run is for' },
    label: {
      type: 'string',
      multiple: true,
      value: 'K=V',
      help: 'With --hub: label of the run, by which lists can be filtered',
    },
    detach: { type: 'boolean', short: 'd', help: 'With --hub: print the run id and do not wait' },
    ...hubOptions,
  },
  examples: [
    'errand run flow.yaml',
    'errand run flow.yaml --var VERSION=1.2 --yes',
    'cat flow.yaml | errand run -',
    'errand run flow.yaml --hub --detach',
  ],
  async run(options, args) {
    const { hub, state, resume, detach } = options
    if (hub && (state !== undefined || resume !== undefined)) {
      throw new UsageError('--state and --resume are for runs on this machine', 'a hub always keeps its runs')
    }
    if (detach && !hub)
      throw new UsageError('--detach needs --hub', 'a run on this machine ends with the command')
    if (resume !== undefined && state === undefined)
      throw new UsageError('--resume needs --state DIR', 'name the folder that holds the run')
    if (resume !== undefined && args.length > 0)
      throw new UsageError('--resume uses the workflow as it was', 'leave out the file')
    if (hub && options.secret)
      throw new UsageError(
        '--secret is for runs on this machine',
        'store it at the hub with: errand secrets set',
      )
    if (options.repository !== undefined && !hub)
      throw new UsageError('--repository needs --hub', 'runs on this machine have no runner group')
    if (options.label !== undefined && !hub)
      throw new UsageError('--label needs --hub', 'runs on this machine are not listed')
    const box = boxAsk(options)
    if (resume !== undefined && Object.keys(box).length > 0)
      throw new UsageError(
        '--resume uses the workflow as it was',
        'leave out --isolation, --network and --image',
      )
    if (hub) {
      const { runOnHub } = await import('./run-on-hub.ts')
      return await runOnHub(fileArgument(options.file, args), { ...options, box })
    }
    const file = resume === undefined ? fileArgument(options.file, args) : undefined
    const [
      { conductHere },
      { LocalHost },
      { builtinActionRegistry },
      { localArtifacts, localBoxes, localSessions },
      { GivenSecrets },
      { OwnRecord, sweepKilled },
    ] = await Promise.all([
      import('../../local/conduct-local.ts'),
      import('../../../runner/local/local-host.ts'),
      import('../../../actions/registry.ts'),
      import('../../local/local-sessions.ts'),
      import('../../../stores/secrets/given-secrets.ts'),
      import('../../local/local-run-registry.ts'),
    ])
    const secrets = new GivenSecrets(await inputValues(options.secret))
    const record = new OwnRecord({
      runs: resume === undefined ? [] : [resume],
      kept: state !== undefined,
    })
    const swept = sweepKilled()
    try {
      const sessions = localSessions(record, secrets)
      const host = new LocalHost({
        registry: builtinActionRegistry,
        secrets,
        sessions,
        boxes: localBoxes,
        artifacts: localArtifacts,
        key: record.key,
      })
      return await conductHere(file, host, { ...options, box }, secrets)
    } finally {
      await swept
      record.close()
    }
  },
})

/** Reads the secrets. Their code is loaded only if there are any: starting is most of a short run. */
async function inputValues(options: readonly string[] | undefined): Promise<Record<string, string>> {
  if (options === undefined) return {}
  const { secretValues } = await import('../../secret-values.ts')
  return secretValues(options)
}
