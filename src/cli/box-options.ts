import { type BoxAsk, ImageName, Isolation, readNetwork } from '../contract/isolation.ts'
import { UsageError } from './command.ts'
import { oneOf } from './option-values.ts'

/** Options that ask for a box of what is run; what the file or the machine asks for is never made less by them. */
export const boxOptions = {
  isolation: { type: 'string', value: 'KIND', help: 'At least: none, sandbox or container' },
  network: {
    type: 'string',
    value: 'WHAT',
    help: 'At most: all, models, none, or hosts with commas between',
  },
  image: { type: 'string', value: 'IMAGE', help: 'With --isolation container: its image' },
} as const

/** The box that they ask for; a key for each that is given. Throws a UsageError. */
export function boxAsk(given: { [K in keyof typeof boxOptions]?: string }): BoxAsk {
  const isolation = oneOf('--isolation', given.isolation, Isolation.options)
  const { image } = given
  const network = given.network === undefined ? undefined : readNetwork(given.network)
  if (given.network !== undefined && network === undefined)
    throw new UsageError(
      `--network is "${given.network}"`,
      'it is all, models, none, or hosts with commas between: github.com,*.npmjs.org',
    )
  if (isolation === 'none' && network !== undefined && network !== 'all')
    throw new UsageError('--network needs a box', 'without one everything is reached: --isolation sandbox')
  if (image !== undefined && !ImageName.safeParse(image).success)
    throw new UsageError(`--image is "${image}"`, 'write it as name:tag, or registry/name:tag')
  return {
    ...(isolation !== undefined && { isolation }),
    ...(network !== undefined && { network }),
    ...(image !== undefined && { image }),
  }
}
