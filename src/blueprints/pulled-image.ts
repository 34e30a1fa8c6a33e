import type { BotServeArgs, BotSource, PulledImage } from '../contract/bot.ts'
import { DEFAULT_HOST, type Workflow } from '../contract/workflow.ts'
import { SOURCE_PASSWORD } from './registry-password.ts'

/**
 * The run of a bot as it is begun again once it has the image that a password was given for: without that, with the image
 * as it is on the runner that has it.
 */
export function withPulledImage(
  workflow: Workflow,
  { attempt_id, runner }: Required<Omit<PulledImage, 'username'>>,
): Workflow {
  const [step] = workflow.steps
  const { args, secrets } = step!
  const { source, data } = args as BotServeArgs
  const host = workflow.inventory?.hosts[DEFAULT_HOST] ?? {}
  // Where the bot's owner has named one it is that.
  const here = { attempt_id, ...((host.runner === undefined || host.runner === data?.runner) && { runner }) }
  const had = withoutPassword(source, here)
  if (had === undefined) return workflow
  const others = Object.entries(secrets ?? {}).filter(([name]) => name !== SOURCE_PASSWORD)
  return {
    ...workflow,
    inventory: { ...workflow.inventory, hosts: { [DEFAULT_HOST]: { ...host, runner } } },
    steps: [
      {
        ...step!,
        args: { ...args, source: had },
        secrets: Object.fromEntries(others),
      },
    ],
  }
}

function withoutPassword(
  source: BotSource,
  here: Pick<PulledImage, 'attempt_id' | 'runner'>,
): BotSource | undefined {
  if (source.mode === 'image' && source.registry_auth !== undefined) {
    const { image, registry_auth } = source
    return { mode: 'image', image, pulled: { username: registry_auth.username, ...here } }
  }
  if (source.mode !== 'git' || source.git_auth === undefined) return undefined
  const { git_auth, ...repository } = source
  const { username } = git_auth
  return { ...repository, built: { ...(username !== undefined && { username }), ...here } }
}

/** The runner that the source of a bot holds it to. */
export function boundTo(source: BotSource | undefined): string | undefined {
  if (source?.mode === 'image') return source.pulled?.runner
  return source?.mode === 'git' ? source.built?.runner : undefined
}
