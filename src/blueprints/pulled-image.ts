import type { BotServeArgs, PulledImage } from '../contract/bot.ts'
import { DEFAULT_HOST, type Workflow } from '../contract/workflow.ts'
import { REGISTRY_PASSWORD } from './registry-password.ts'

/**
 * The run of a bot as it is begun again once its image was pulled with a password: without that, with the image as it is
 * on the runner that has it.
 */
export function withPulledImage(
  workflow: Workflow,
  { attempt_id, runner }: Required<Omit<PulledImage, 'username'>>,
): Workflow {
  const [step] = workflow.steps
  const { args, secrets } = step!
  const { source } = args as BotServeArgs
  if (source.mode !== 'image' || source.registry_auth === undefined) return workflow
  const { image, registry_auth } = source
  const host = workflow.inventory?.hosts[DEFAULT_HOST] ?? {}
  const pulled: PulledImage = { username: registry_auth.username, attempt_id }
  // Where the bot's owner has named one it is that.
  if (host.runner === undefined) pulled.runner = runner
  const others = Object.entries(secrets ?? {}).filter(([name]) => name !== REGISTRY_PASSWORD)
  return {
    ...workflow,
    inventory: { ...workflow.inventory, hosts: { [DEFAULT_HOST]: { ...host, runner } } },
    steps: [
      {
        ...step!,
        args: { ...args, source: { mode: 'image', image, pulled } },
        secrets: Object.fromEntries(others),
      },
    ],
  }
}

/** The runner that the source of a bot holds it to. */
export const boundTo = (source: BotServeArgs['source'] | undefined): string | undefined =>
  source?.mode === 'image' ? source.pulled?.runner : undefined
