# The other side of a System V semaphore set, in Perl: does what it is told on standard input, and reports on standard output.
#
#   get KEY               an existing set           make KEY COUNT...   makes it, counts and all, as others do who keep to the protocol
#   begin KEY LENGTH      makes it, without counts; "finish COUNT..." gives them and operates on it
#   op INDEX,CHANGE[,undo] ...    one operation of several steps; reports "begin" first
#   try INDEX,CHANGE[,undo] ...   the same without waiting
#   value INDEX           its count
use strict;
use warnings;

# Of <sys/ipc.h> and <sys/sem.h>, which perl has only with its whole library.
use constant { IPC_CREAT => 01000, IPC_EXCL => 02000, IPC_NOWAIT => 04000, SEM_UNDO => 0x1000, GETVAL => 12, SETVAL => 16 };

$| = 1;
my ($set, $length);

# EAGAIN has two names.
sub result { print "@ ", ($_[0] ? "ok" : (sort grep { $!{$_} } keys %!)[0]), "\n" }

sub make {
    my ($key, $count) = @_;
    $length = $count;
    $set = semget(hex $key, $count, IPC_CREAT | IPC_EXCL | 0600);
    return defined $set;
}

sub operate {
    my ($flags, @steps) = @_;
    my $list = "";
    for (@steps) {
        my ($index, $change, $undo) = split /,/;
        $list .= pack("s!3", $index, $change, $flags | ($undo ? SEM_UNDO : 0));
    }
    return semop($set, $list);
}

sub finish {
    for my $index (0 .. $#_) { semctl($set, $index, SETVAL, $_[$index] + 0) or return 0 }
    return operate(IPC_NOWAIT, "0,1", "0,-1");
}

while (<STDIN>) {
    my ($verb, @words) = split;
    if ($verb eq "get") { $set = semget(hex $words[0], 0, 0); result(defined $set) }
    elsif ($verb eq "begin") { result(make(@words)) }
    elsif ($verb eq "finish") { result(finish(@words)) }
    elsif ($verb eq "make") { my $key = shift @words; result(make($key, scalar @words) && finish(@words)) }
    elsif ($verb eq "op") { print "@ begin\n"; result(operate(0, @words)) }
    elsif ($verb eq "try") { result(operate(IPC_NOWAIT, @words)) }
    elsif ($verb eq "value") { print "@ ", semctl($set, $words[0], GETVAL, 0) + 0, "\n" }
    else { die "unknown command: $_" }
}
