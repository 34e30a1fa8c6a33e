# Tries from inside everything that a box must prevent. Its variables: NEEDLES (hex, one per line), PLACES (paths, one per line),
# HUB_PORT, MACHINE (its address), MARKER, OWN (paths that are in the box as in its image), PROGRAMS (the folder of the programs of agents).
# Prints "REACHED what" for each try that succeeded, and at the end the number of tries.
tried=0
reached() { echo "REACHED $1"; }
# try WHAT COMMAND…: the command must fail.
try() {
  what=$1
  shift
  tried=$((tried + 1))
  if "$@" >/dev/null 2>&1 </dev/null; then reached "$what"; fi
}

# Tries that succeed are undone.
written() { touch "$1" && rm -f "$1"; }
mounted() {
  mkdir -p "$PWD/mounted" && mount -t tmpfs none "$PWD/mounted" && umount "$PWD/mounted"
}

is_own() {
  case " $OWN " in *" $1 "*) return 0 ;; esac
  return 1
}

# Reports whether a folder contains more than the parents of the folders of this box.
others() {
  for entry in "$1"/* "$1"/.[!.]*; do
    [ -e "$entry" ] || continue
    case "$PWD/" in "$entry"/*) continue ;; esac
    case "$HOME/" in "$entry"/*) continue ;; esac
    case "$PROGRAMS/" in "$entry"/*) continue ;; esac
    return 0
  done
  return 1
}

# Files of the hub, the runner, other runs and the machine.
while IFS= read -r place; do
  [ -n "$place" ] && ! is_own "$place" || continue
  try "file $place" cat "$place"
  try "folder $place" others "$place"
done <<END
$PLACES
END
for place in /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /etc/shadow /sys/kernel /proc/sysrq-trigger; do
  is_own "$place" && continue
  try "place $place" test -e "$place" -a "$place" != /proc/sysrq-trigger
done
try 'a socket beside the endpoint' sh -c 'find / -xdev -type s 2>/dev/null | grep -v "^/run/errand/proxy$" | grep -v "^$PWD/" | grep -v "/tmp/" | grep .'
try 'an abstract socket of the machine' grep -q ' @/' /proc/net/unix
for place in /usr/errand-was-here /etc/errand-was-here /bin/errand-was-here /run/errand/errand-was-here /errand-was-here /lib/errand-was-here; do
  try "writing $place" written "$place"
done

# Other processes, and rights.
try 'another process of the machine' sh -c 'test "$(ls -d /proc/[0-9]* | wc -l)" -gt 60'
try 'capabilities' sh -c 'grep -E "^Cap(Inh|Prm|Eff|Bnd|Amb):" /proc/self/status | grep -v "0000000000000000$"'
try 'no no-new-privileges' sh -c '! grep -q "^NoNewPrivs:.1$" /proc/self/status'
try 'no filter of system calls' sh -c '! grep -q "^Seccomp:.2$" /proc/self/status'
try 'a user namespace' unshare -U true
try 'a mount namespace' unshare -m true
try 'a mount' mounted
try 'the namespaces of the first process' nsenter -t 1 -m true
try 'a device' sh -c 'mknod "$PWD/device" b 8 0 && rm "$PWD/device"'

perl - <<'END'
use strict; use warnings; no warnings qw(once portable);
use IO::Socket::INET; use IO::Socket::UNIX; use File::Find; use Socket;
my $tried = 0;
sub reached { print "REACHED $_[0]\n" }
my @needles = map { pack 'H*', $_ } grep { length } split /\n/, $ENV{NEEDLES};
sub holds { my $text = shift; for (@needles) { return 1 if index($text, $_) >= 0 } 0 }
$SIG{PIPE} = 'IGNORE';

# Secrets: in all readable files …
find({ no_chdir => 1, wanted => sub {
  if (/^\/(usr|proc|sys|dev|lib|lib64|bin|sbin)$/ || /\/node_modules$/) { $File::Find::prune = 1; return }
  return unless -f $_ && !-l $_ && -s _ < 8e6;
  open my $file, '<', $_ or return; local $/; my $text = <$file> // '';
  $tried++;
  reached("what is kept back, in $_") if holds($text);
} }, '/');
# … and in all processes: their command lines, environments and memory.
for my $process (glob '/proc/[0-9]*') {
  my ($pid) = $process =~ /(\d+)/; next if $pid == $$;
  for my $name ('environ', 'cmdline') {
    open my $file, '<', "$process/$name" or next; local $/; my $text = <$file> // '';
    $tried++;
    # The variables of this script contain them.
    $text =~ s/(NEEDLES|PLACES)=[^\0]*//g;
    reached("what is kept back, in $name of " . comm($pid)) if holds($text);
  }
  open my $maps, '<', "$process/maps" or next;
  open my $memory, '<:raw', "$process/mem" or next;
  $tried++;
  while (<$maps>) {
    my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
    my ($at, $end, $tail) = (hex $from, hex $to, '');
    next if $end - $at > 1e9;
    while ($at < $end) {
      my $length = $end - $at < 1 << 22 ? $end - $at : 1 << 22;
      sysseek $memory, $at, 0 or last;
      my $got = sysread $memory, my $text, $length or last;
      if (holds($tail . $text)) { reached("what is kept back, in the memory of " . comm($pid)); last }
      $tail = substr $text, -200; $at += $got;
    }
  }
}
sub comm { open my $file, '<', "/proc/$_[0]/comm" or return '?'; my $name = <$file>; chomp $name; "$name ($_[0])" }

# System calls.
my %calls = ('ptrace of the first process' => [101, 16, 1, 0, 0], 'keyrings' => [250, 0, -3, 0], 'bpf' => [321, 0, 0, 0], 'io_uring' => [425, 1, 0]);
for (sort keys %calls) { $tried++; my @call = @{$calls{$_}}; reached($_) if syscall($call[0], @call[1 .. $#call]) >= 0 }
$tried++; reached('a raw socket') if socket(my $raw, AF_INET, SOCK_RAW, 1);
$tried++; reached('a socket of another family') if socket(my $vsock, 40, SOCK_STREAM, 0);
$tried++; my $byte = "x"; reached('the terminal') if ioctl STDIN, 0x5412, $byte;

# Direct network access.
for (["127.0.0.1", $ENV{HUB_PORT}], [$ENV{MACHINE}, $ENV{HUB_PORT}], ['169.254.169.254', 80], ['1.1.1.1', 443]) {
  $tried++; reached("$_->[0]:$_->[1] without the proxy") if IO::Socket::INET->new(PeerAddr => $_->[0], PeerPort => $_->[1], Timeout => 3);
}
for my $path ('/var/run/docker.sock', "\0/tmp/.X11-unix/X0") { $tried++; reached("the socket $path") if IO::Socket::UNIX->new(Peer => $path) }

# Access through the proxy.
sub ask { my ($text) = @_;
  my $proxy = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => 3128, Timeout => 3) or return '';
  $proxy->autoflush(1); print $proxy $text; local $SIG{ALRM} = sub { die }; my $answer = '';
  eval { alarm 15; while (sysread $proxy, my $part, 65536) { $answer .= $part; last if $answer =~ /\r\n\r\n/ } alarm 0 };
  $answer }
sub refuses { my ($what, $text) = @_; $tried++; my $answer = ask($text); reached("$what by the proxy: " . substr $answer, 0, 60) if $answer =~ /^HTTP\/1\.[01] [23]/ }
my $hub = $ENV{HUB_PORT};
for my $host ('127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '0.0.0.0', '0', '127.1', '0x7f000001', '2130706433', '0177.0.0.1', '127.0.0.1.', 'localhost.', $ENV{MACHINE}, '[64:ff9b::7f00:1]', '[2002:7f00:1::]', 'user@127.0.0.1', '169.254.169.254', 'metadata.google.internal', '[fd00:ec2::254]', '100.100.100.200') {
  for my $port ($hub, 80, 443) {
    refuses("$host:$port", "CONNECT $host:$port HTTP/1.1\r\nHost: $host:$port\r\n\r\n");
    refuses("http://$host:$port", "GET http://$host:$port/health HTTP/1.1\r\nHost: $host:$port\r\nConnection: close\r\n\r\n");
  }
}
refuses('a Host of its own', "GET http://example.com/ HTTP/1.1\r\nHost: 127.0.0.1:$hub\r\nConnection: close\r\n\r\n");
refuses('two lengths', "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
refuses('its control socket', "PUT /doors/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
refuses('its health', "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

# A model service, with the stand-in for its key in this environment, and with other keys.
my @own = map { $ENV{$_} // () } qw(ANTHROPIC_API_KEY OPENAI_API_KEY COPILOT_PROVIDER_API_KEY);
for my $service ('anthropic', 'openai', 'copilot', 'other') {
  for my $key (@own, 'sk-ant-api03-errand-0000000000000000000000000000', '') {
    for my $path ('/v1/files', '/v1/organizations/users', '/v1/messages/batches', '/files', '/fine_tuning/jobs', '/v1/messages/../files', '/v1//files', '/v1/%2e%2e/v1/files', '/v1/messages%2f..%2ffiles', '/') {
      refuses("$path of $service", "GET /model/$service$path HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $key\r\nx-api-key: $key\r\nConnection: close\r\n\r\n");
    }
  }
  refuses("$service with another's key", "POST /model/$service/v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: sk-ant-api03-errand-0000000000000000000000000000\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
}
print "by perl $tried\n";
END

# A process that tries to outlive all this: no mark, its own session, forked twice.
(env -i setsid perl -e '$0 = shift; fork and exit; fork and exit; sleep 3600' "$MARKER" >/dev/null 2>&1 </dev/null &)
echo "ATTACKS DONE $tried"
