import { type BoxAsk, ImageName, Isolation, readNetwork } from '../contract/isolation.ts'
import { UsageError } from './command.ts'
import { oneOf } from './option-values.ts'

/** Options that ask for a box. They only tighten what the file or the machine asks for; they never loosen it. */
export const boxOptions = {
  isolation: { type: 'string', value: 'KIND', help: 'Minimum isolation: none, sandbox or container' },
  network: {
    type: 'string',
    value: 'WHAT',
    help: 'Maximum network access: all, models, none, or comma-separated hosts',
  },
  image: { type: 'string', value: 'IMAGE', help: 'With --isolation container: image of the container' },
} as const

/** Returns the box that the options ask for, with a key for each option given. Throws a UsageError. */
export function boxAsk(values: { [K in keyof typeof boxOptions]?: string }): BoxAsk {
  const isolation = oneOf('--isolation', values.isolation, Isolation.options)
  const { image } = values
  const network = values.network === undefined ? undefined : readNetwork(values.network)
  if (values.network !== undefined && network === undefined)
    throw new UsageError(
      `--network is "${values.network}"`,
      'use all, models, none, or comma-separated hosts: github.com,*.npmjs.org',
    )
  if (isolation === 'none' && network !== undefined && network !== 'all')
    throw new UsageError(
      '--network needs a box',
      'without a box steps reach everything; add --isolation sandbox',
    )
  if (image !== undefined && !ImageName.safeParse(image).success)
    throw new UsageError(`--image is "${image}"`, 'write it as name:tag, or registry/name:tag')
  return {
    ...(isolation !== undefined && { isolation }),
    ...(network !== undefined && { network }),
    ...(image !== undefined && { image }),
  }
}
