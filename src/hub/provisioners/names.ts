import { createHmac, hash, randomBytes } from 'node:crypto'
import type { Pool } from '../../contract/fleet/provisioning.ts'
import type { ProvisionedRow } from '../../stores/sqlite/provisioned-runners.ts'

/**
 * Returns the part of a provisioned runner's name that stays the same over its tries, such as
 * `errand-1a2b3c4d-0f1e…`.
 */
export const stemOf = (hub: string, what: string): string =>
  `errand-${hub}-${hash('sha256', what, 'hex').slice(0, 20)}`

/** Returns the stem of a runner that is provisioned ahead of need; it is unique. */
export const spareStem = (hub: string): string => `errand-${hub}-${randomBytes(10).toString('hex')}`

/** Returns a name that DNS, Docker and Kubernetes accept: at most 63 lowercase letters, digits and dashes. */
export const nameOf = (stem: string, epoch: number): string => `${stem}-e${epoch}`

const NAME = /^errand-([0-9a-f]{8})-[0-9a-f]{20}-e[1-9]\d{0,8}$/

/** Reports whether the hub with this id has given the name. */
export const isNameOf = (hub: string, name: string): boolean => NAME.exec(name)?.[1] === hub

/** Returns a new id that tells what one hub has made from everything else. */
export const newHubId = (): string => randomBytes(4).toString('hex')

/**
 * Returns the token that a provisioned runner enrols with. A name always gets the same token, so a repeat is
 * harmless.
 */
export const enrolTokenOf = (secret: string, name: string): string =>
  `errand_enroll_${createHmac('sha256', secret).update(`enrolment of ${name}`).digest('base64url')}`

/** Returns the environment that a provisioned runner starts with. */
export const envOf = (
  { name, group }: Pick<ProvisionedRow, 'name' | 'group'>,
  { pool: { slots, labels }, token, url }: { pool: Pool; token: string; url: string },
): Record<string, string> => ({
  ERRAND_HUB_URL: url,
  ERRAND_ENROLL_TOKEN: token,
  ERRAND_RUNNER_ID: name,
  ERRAND_MADE_RUNNER: name,
  ERRAND_GROUP: group,
  ...(slots !== undefined && { ERRAND_SLOTS: String(slots) }),
  ...(Object.keys(labels).length > 0 && { ERRAND_LABELS: labelsText(labels) }),
})

const labelsText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map((each) => each.join('='))
    .join(',')
