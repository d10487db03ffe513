#!/bin/bash
# MPICH's mpiexec with Open MPI's options, for tests: tests/peers/mpi.sh puts it into PATH as `mpirun`. MPIEXEC names
# the program. --oversubscribe is dropped, because MPICH always allows it.
set -u

not_translated() {
  echo "mpich_mpirun.sh: $1: not translated yet" >&2
  exit 2
}

words=()
while [ $# -gt 0 ]; do
  case $1 in
    -np | -n | --host | --map-by | --bind-to)
      case $1 in
        -np | -n) words+=(-n "$2") ;;
        --host) words+=(-hosts "$2") ;;
        *) words+=("${1#-}" "$2") ;;
      esac
      shift 2
      ;;
    -x)
      words+=(-genv "${2%%=*}" "${2#*=}")
      shift 2
      ;;
    --mca)
      case $2 in
        # The launcher is declared as rsh: to ssh mpiexec would pass further options.
        plm_rsh_agent) words+=(-launcher rsh -launcher-exec "$3") ;;
        oob_tcp_if_include) words+=(-iface "$3") ;;
        # MPICH uses UCX or libfabric. These variables limit either one to TCP.
        btl)
          [ "$3" = tcp,self ] || not_translated "--mca btl $3"
          words+=(-genv UCX_TLS tcp -genv FI_PROVIDER tcp)
          ;;
        btl_tcp_if_include) words+=(-genv UCX_NET_DEVICES "$3" -genv FI_TCP_IFACE "$3") ;;
        # mpiexec keeps no files.
        orte_tmpdir_base) ;;
        *) not_translated "--mca $2" ;;
      esac
      shift 3
      ;;
    --oversubscribe) shift ;;
    --tag-output)
      words+=(-prepend-rank)
      shift
      ;;
    -*) not_translated "$1" ;;
    *) break ;;
  esac
done
exec "$MPIEXEC" "${words[@]}" "$@"
