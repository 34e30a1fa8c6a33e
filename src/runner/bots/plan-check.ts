import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { pullSecret } from '../../contract/pull-secret.ts'
import type { BotPlan } from '../ports.ts'

/** Throws `invalid_argument` where a secret would go where it may not, or cannot. */
export function checkPlan(plan: BotPlan, spec: AttemptSpec): void {
  const secrets = Object.entries(spec.secrets ?? {})
  const inFile = secrets.find(([, { as }]) => as === 'file')
  if (inFile)
    throw new ErrandError(
      'invalid_argument',
      `Secret ${inFile[0]} of bot "${plan.bot_id}" is to be a file, and a bot sees no files of its machine.`,
      { hint: 'Leave "as: file" out: it is then a variable of the bot.' },
    )
  const password = pullSecret(spec)
  if (password !== undefined && !Object.hasOwn(spec.secrets ?? {}, password))
    throw new ErrandError(
      'invalid_argument',
      `The step of bot "${plan.bot_id}" has no secret "${password}", which its source names.`,
      { hint: 'Name it among the secrets of the step.' },
    )
  // Where a secret stands in a text, the spec as it came has a mark, which no other text can have.
  if (JSON.stringify(spec.args.source ?? {}).includes('\\u0000'))
    throw new ErrandError(
      'invalid_argument',
      `The source of bot "${plan.bot_id}" names a secret, which would then stand in its image.`,
      { hint: "Read it from the bot's environment." },
    )
}
