import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import type { UserView } from '../../src/contract/account-api.ts'
import { addUser, changeUser, listUsers, logOutUser, newPassword, removeUser } from '../data/account.ts'
import { ApiError } from '../data/api.ts'
import { meQuery } from '../data/session.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { type RowAction, RowMenu } from '../parts/row-menu.tsx'
import { When } from '../parts/times.tsx'
import { Labelled, mayUsers, Part, SettingsFrame, ShownOnce } from './settings-frame.tsx'

type Change = { user: UserView; what: 'role' | 'disable' | 'enable' | 'reset' | 'logout' | 'remove' }

/** Lists the users of the tenant, for its admins. */
export function UsersPage() {
  const client = useQueryClient()
  const { data: me } = useQuery(meQuery)
  const { data, error } = useQuery({
    queryKey: ['users'],
    queryFn: ({ signal }) => listUsers(signal),
    enabled: mayUsers(me),
    staleTime: 0,
  })
  const [change, setChange] = useState<Change>()
  const [created, setCreated] = useState<{ name: string; password: string }>()
  const [warnings, setWarnings] = useState<readonly string[]>([])
  const again = () => client.invalidateQueries({ queryKey: ['users'] })
  return (
    <SettingsFrame title="Users">
      <Part
        title="New user"
        about="Users log in with a name and a password. They see their own runs; admins see all runs of the tenant."
      >
        <Add
          done={async (found) => {
            setWarnings(found)
            await again()
          }}
        />
        {warnings.map((warning) => (
          <p key={warning} role="status" className="mt-3 rounded-lg bg-ask-soft px-3 py-2 text-meta">
            {warning}
          </p>
        ))}
      </Part>
      <Part title="Users">
        {error instanceof ApiError && <Failure error={error} />}
        {created !== undefined && (
          <ShownOnce
            what={
              <>
                The new password of <bdi className="font-medium">{created.name}</bdi>. Copy it now: it is not
                shown again. Their logins have ended. They can change the password in Settings.
              </>
            }
            text={created.password}
            copy={<CopyButton text={created.password} label="Copy the password" word="Copy" />}
            close={() => setCreated(undefined)}
          />
        )}
        <ul className="overflow-clip rounded-[10px] border border-line empty:hidden">
          {(data?.users ?? []).map((user) => (
            <li
              key={user.id}
              className="flex min-h-12 flex-wrap items-center gap-x-4 gap-y-1 border-t border-line px-3 py-1.5 first:border-t-0 max-sm:gap-x-2"
            >
              <span className="min-w-0 flex-1 basis-24">
                <span className="block truncate font-medium">
                  <bdi>{user.name}</bdi>
                  {user.name === me?.name && <span className="font-normal text-ink2"> (you)</span>}
                </span>
                <span className="block text-label text-ink2">
                  created <When time={user.created_at} />
                </span>
              </span>
              <span className="w-12 text-meta sm:w-20">{user.role}</span>
              <span className={`w-14 text-meta sm:w-20 ${user.disabled ? 'text-gone' : 'text-ok'}`}>
                {user.disabled ? 'disabled' : 'active'}
              </span>
              <span className="flex w-7 justify-end max-sm:w-11">
                {user.name !== me?.name && (
                  <RowMenu
                    label={`More for ${user.name}`}
                    actions={actionsFor(user, (what) => setChange({ user, what }))}
                  />
                )}
              </span>
            </li>
          ))}
        </ul>
      </Part>
      {change !== undefined && (
        <Sure
          {...change}
          again={again}
          close={() => setChange(undefined)}
          report={(password) => setCreated({ name: change.user.name, password })}
        />
      )}
    </SettingsFrame>
  )
}

const actionsFor = (user: UserView, ask: (what: Change['what']) => void): RowAction[] => [
  { word: 'Reset password…', act: () => ask('reset') },
  { word: 'Log out everywhere…', act: () => ask('logout') },
  { word: user.role === 'admin' ? 'Change to user…' : 'Change to admin…', act: () => ask('role') },
  user.disabled
    ? { word: 'Enable…', act: () => ask('enable') }
    : { word: 'Disable…', bad: true, act: () => ask('disable') },
  { word: 'Remove…', bad: true, act: () => ask('remove') },
]

/** Says what a change leads to, before it is made. */
function Sure({
  user,
  what,
  again,
  close,
  report,
}: Change & { again: () => Promise<void>; close: () => void; report: (password: string) => void }) {
  const { id, name, role } = user
  const to = role === 'admin' ? 'user' : 'admin'
  const change = {
    role: {
      title: to === 'admin' ? `Change ${name} to admin?` : `Change ${name} to user?`,
      text:
        to === 'admin'
          ? 'They see and control all runs, secrets, runners and users of the tenant.'
          : 'From now on, they see and control only their own runs.',
      verb: to === 'admin' ? 'Change to admin' : 'Change to user',
      doing: 'Changing…',
      act: () => changeUser(id, { role: to }),
    },
    disable: {
      title: `Disable ${name}?`,
      text: 'Their logins and tokens stop working now, and they cannot log in. Their runs continue.',
      verb: 'Disable user',
      doing: 'Disabling…',
      act: () => changeUser(id, { disabled: true }),
    },
    enable: {
      title: `Enable ${name}?`,
      text: 'They can log in again, and their tokens work again.',
      verb: 'Enable user',
      doing: 'Enabling…',
      act: () => changeUser(id, { disabled: false }),
    },
    reset: {
      title: `Reset the password of ${name}?`,
      text: 'You see the new password once. All their logins end now. Their tokens stay valid, and their runs continue.',
      verb: 'Reset password',
      doing: 'Resetting…',
      act: async () => {
        const password = newPassword()
        await changeUser(id, { password })
        report(password)
      },
    },
    logout: {
      title: `Log ${name} out everywhere?`,
      text: 'All their logins end now, in browsers and on command lines. Their password, tokens and runs stay.',
      verb: 'Log out everywhere',
      doing: 'Logging out…',
      act: () => logOutUser(id),
    },
    remove: {
      title: `Remove ${name}?`,
      text: 'Their tokens and own secrets are deleted too and cannot be restored. Their runs stay under their name.',
      verb: 'Remove user',
      doing: 'Removing…',
      act: () => removeUser(id),
    },
  } as const
  const { title, text, verb, doing, act } = change[what]
  return (
    <Confirm
      title={title}
      keep="Cancel"
      verb={verb}
      doing={doing}
      destructive={what === 'disable' || what === 'remove'}
      {...(what === 'remove' ? { typed: name } : {})}
      act={async () => {
        await act()
        void again()
      }}
      close={close}
    >
      {text}
    </Confirm>
  )
}

function Add({ done }: { done: (warnings: readonly string[]) => Promise<void> }) {
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [role, setRole] = useState<'user' | 'admin'>('user')
  const [failure, setFailure] = useState<ApiError>()
  return (
    <form className="flex flex-col gap-3" onSubmit={(event) => event.preventDefault()}>
      <div className="flex flex-wrap items-end gap-3">
        <Labelled word="Name">
          <input
            className="field"
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            value={name}
            onChange={({ target }) => setName(target.value)}
          />
        </Labelled>
        <Labelled word="Initial password">
          <input
            className="field"
            type="password"
            autoComplete="new-password"
            value={password}
            onChange={({ target }) => setPassword(target.value)}
          />
        </Labelled>
        <Labelled word="Role">
          <select
            className="field"
            value={role}
            onChange={({ target }) => setRole(target.value as 'user' | 'admin')}
          >
            <option value="user">user</option>
            <option value="admin">admin</option>
          </select>
        </Labelled>
        <ActionButton
          className="max-sm:w-full"
          doing="Adding…"
          onFailure={setFailure}
          act={async (key) => {
            setFailure(undefined)
            const { warnings } = await addUser({ name: name.trim(), password, role }, key)
            setName('')
            setPassword('')
            await done(warnings)
          }}
        >
          Add user
        </ActionButton>
      </div>
      {failure !== undefined && <Failure error={failure} />}
    </form>
  )
}
