import { useQuery } from '@tanstack/react-query'
import type { TenantAdmins } from '../../../src/contract/account-api.ts'
import { ask } from '../../data/api.ts'
import { Link, type Path } from '../../navigation/navigation.tsx'

interface Props {
  what: 'run' | 'task'
  id: string
  to: Path
}

/** Says the same about things that do not exist and things that this person may not see, and whom to ask. */
export default function NotYours({ what, id, to }: Props) {
  const { data } = useQuery({
    queryKey: ['tenant-admins'],
    queryFn: ({ signal }) => ask<TenantAdmins>('GET', '/api/me/admins', { signal }),
  })
  const { admins = [], more = false } = data ?? {}
  return (
    <main className="flex flex-1 flex-col items-center justify-center gap-4 px-edge text-center">
      <h1 className="max-w-full text-empty font-semibold break-words">
        There is no {what} <bdi>{id}</bdi>, or it isn't yours.
      </h1>
      {data !== undefined && (
        <p className="max-w-prose text-ink2">
          The owner of a {what} and the admins of its tenant can open it
          {what === 'run' && ', and so can people with whom it is shared'}. You are in the tenant{' '}
          <bdi className="font-medium text-ink">{data.tenant}</bdi>
          {admins.length > 0 && (
            <>
              , whose {admins.length === 1 && !more ? 'admin is' : 'admins are'}{' '}
              <bdi className="font-medium text-ink">{admins.join(', ')}</bdi>
              {more && ' and others'}
            </>
          )}
          . Ask one of them, or the person who sent you the link. That person also knows whether it belongs to
          another tenant.
        </p>
      )}
      <Link to={to} className="button">
        Go to {what}s
      </Link>
    </main>
  )
}
