/* The handover of one VM between two hosts: both daemons' state machines, what each has on its disk, what their
 * hypervisors do by themselves, and a world in which anything fails at any time until it is healed.
 *
 * It follows src/handover/source.cpp and destination.cpp and, for what their actions do, src/migration. An `atomic` is
 * what no fault can divide: a change in a daemon's memory and one effect outside of it, on its disk, on the wire or
 * on its VM. Between two of them a daemon can be killed; it goes on from its journal. Nothing counts the faults: any
 * number of them may come.
 *
 * What must hold:
 *   - never two: the assertions in run_source() and run_destination();
 *   - no deadlock: only the labels that begin with `end` are places to rest;
 *   - finally one: the claims at the end of this file.
 * Each macro that ends in _MUTANT breaks one rule; the check must find what that leads to. */

/* State machines and journals. Preparing, Streaming and Stopped, which differ in what people are shown, are one. */
mtype = { preparing, relinquished, releasing, confirmed, reclaiming, reclaimed,
          reserved, incoming, loading, started, running, done, refusing, refused, in_doubt };
/* A VM at one host, as its hypervisor has it. */
mtype = { vm_absent, vm_incoming, vm_stopped, vm_running };
/* The call of libvirt's that moves a VM away: none, sending memory, waiting for Finish's answer, returned. */
mtype = { no_move, sending, in_finish, returned };
/* What libvirt says in Finish; what it is answered. */
mtype = { nothing, succeeded, cancelled, loaded, not_loaded };
/* What a daemon does next, or tries until it works. */
mtype = { abort, answer, reclaim, remove, finish, confirm, say_it_is_over, resume, record_removal, discard, record, tell };
/* What a source may be told besides running, refused and in_doubt. Whose daemon is being killed. */
mtype = { undecided, source, destination };

bool healed = false;         /* from now on nothing fails */
bool holder_died = false;    /* the QEMU whose memory was the VM has died: no protocol brings it back */
bool has_run_there = false;
mtype killed = nothing;

/* A person has decided whose the VM is: once, or again as long as it is not on record. Who decides for the source has made
 * sure that the destination cannot run it: has ended it there, or sees to it that it is not resumed until the decision is on
 * record and the destination has taken note (fenced). */
bool decided = false;
bool fenced = false;
bool taken_back_sent = false;

mtype source_state = preparing;
mtype source_journal = preparing;
mtype source_vm = vm_running;
mtype source_due = nothing;

mtype move = sending;
mtype finish_call = nothing;
mtype finish_answer = nothing;
bool abort_requested = false;
bool prepared = false;       /* the destination's libvirt has said that memory may come */

mtype destination_state = reserved;
mtype destination_journal = reserved;
mtype destination_vm = vm_absent;
mtype destination_due = nothing;

/* The session of the migration, as each side sees it. Once one has lost it the other one will, whenever it notices.
 * What is on its way then may arrive or be lost; a cut that heals in time is a message that takes long. Messages
 * overtake each other and come twice. */
bool source_linked = true;
bool destination_linked = true;
bool finish_sent = false, abort_sent = false, confirmed_sent = false;  /* to the destination */
mtype verdict_sent = nothing;                                          /* to the source */

#define committed ((destination_journal == started || destination_journal == running || destination_journal == done) && \
                   destination_state != refusing && destination_state != refused)
/* A QEMU that dies just before the commit is seen missing just after it, and then nobody can know that it never ran. */
#define about_to_commit (destination_state == started)
#define source_is_final (source_state == confirmed || source_state == reclaimed)
#define destination_is_final (destination_state == done || destination_state == refused || destination_state == in_doubt)
/* Exactly one runs, nothing is left of the other, and the source says so. */
#define one_runs ((source_state == confirmed && source_vm == vm_absent && destination_vm == vm_running) || \
                  (source_state == reclaimed && source_vm == vm_running && destination_vm == vm_absent))

/* ---- The rules ---- */

/* The source may go on only while the VM has never run elsewhere: not beside another copy, and not after one. */
inline run_source() {
  assert(destination_vm != vm_running);
  assert(!has_run_there || decided);
  source_vm = vm_running
}

inline run_destination() {
  assert(source_vm != vm_running);
  destination_vm = vm_running;
  has_run_there = true
}

/* ---- Disk and wire ---- */

/* A record is on disk before the next step, or it is an error. UNSURE_WRITES: some errors lie, as one of fsync may, and
 * the record is there after the next start. */
inline write(journal, state) {
  if
  :: journal = state; written = true
  :: !healed -> written = false
#ifdef UNSURE_WRITES
  :: !healed -> journal = state; written = false
#endif
  fi
}

inline send(slot, message) {
  if
  :: source_linked && destination_linked -> slot = message
  :: else
  fi
}

inline take(slot, none) {
  if
  :: slot = none
  :: !healed  /* it comes again */
  fi
}

/* ---- The hypervisor at the source: the libvirt client in our daemon, libvirtd and QEMU ---- */

/* libvirt resumes the VM of a move that has failed. It tries once, and does not tell. */
inline resume_by_itself() {
  if
  :: source_vm == vm_stopped -> run_source()
  :: source_vm == vm_stopped && !healed
  :: source_vm != vm_stopped
  fi
}

inline end_sending() { abort_requested = false; prepared = false }

active proctype SourceHypervisor() provided (killed == nothing) {
end_hypervisor:
  do
  :: atomic { move == sending && prepared && source_vm == vm_running -> source_vm = vm_stopped }
  :: atomic { move == sending && prepared && source_vm == vm_stopped ->
       move = in_finish; finish_call = succeeded; end_sending() }
  :: atomic { move == sending && (abort_requested || source_vm == vm_absent || !healed) ->
       resume_by_itself();
       if  /* how far it had come decides whether libvirt calls Finish at all */
       :: move = in_finish; finish_call = cancelled
       :: move = returned
       fi;
       end_sending() }
  :: atomic { move == in_finish && finish_answer == not_loaded ->
       resume_by_itself(); finish_answer = nothing; move = returned }
  :: atomic { move == in_finish && finish_answer == loaded ->
       if
       :: source_vm = vm_absent
       :: !healed  /* Confirm has failed: the stopped copy is left */
       fi;
       finish_answer = nothing; move = returned }
  /* libvirtd has died. Our relay lets nothing through that would resume the VM. */
  :: atomic { move == in_finish && !healed -> finish_answer = nothing; move = returned }
  od
}

/* ---- The source's daemon ---- */

/* Each of these is one effect outside; what follows it is what source_due says. */
inline abort_hypervisor() {
  source_due = nothing;
  if
  :: move == sending -> abort_requested = true
  :: move == no_move -> source_due = reclaim
  :: else  /* Finish has been called, and will be answered */
  fi
}

inline answer_not_loaded() {
  source_due = nothing;
  if
  :: move == in_finish -> finish_answer = not_loaded
  :: move == no_move -> source_due = reclaim
  :: else
  fi
}

/* With the destination's own words, libvirt removes its copy. Where they are lost, the copy goes first, for any other
 * words make libvirt resume it. */
inline answer_loaded() {
  source_due = nothing;
  if
  :: move == in_finish -> finish_answer = loaded
#ifdef OTHER_WORDS_MUTANT
  :: move == in_finish -> finish_answer = not_loaded
#else
  :: move == in_finish -> source_vm = vm_absent; finish_answer = not_loaded
#endif
  :: move == no_move -> source_due = remove
  :: move == returned
  fi
}

/* The source keeps the VM: the destination hears of it, then the hypervisor. */
inline start_reclaiming(then) { source_state = reclaiming; send(abort_sent, true); source_due = then }

inline on_verdict(outcome) {
  if
  :: source_state == preparing -> start_reclaiming(abort)
  :: source_state == relinquished && outcome == running -> source_state = releasing; answer_loaded()
  :: source_state == relinquished && outcome == refused -> source_state = reclaiming; answer_not_loaded()
#ifdef DOUBT_IS_REFUSAL_MUTANT
  :: source_state == relinquished && outcome == in_doubt -> source_state = reclaiming; answer_not_loaded()
#endif
  :: else  /* undecided or in doubt: the promise stands */
  fi;
  verdict = nothing
}

/* Memory has been sent: the promise, and only once it is on disk the call goes out. */
inline on_finish_call() {
  if
  :: source_state == preparing && finish_call == cancelled -> start_reclaiming(answer)
  :: source_state == preparing && finish_call == succeeded ->
     source_state = relinquished;
#ifdef FINISH_BEFORE_PROMISE_MUTANT
     send(finish_sent, true);
#else
     write(source_journal, relinquished);
#endif
     source_due = finish
  :: source_state == reclaiming -> answer_not_loaded()
  :: else
  fi;
  finish_call = nothing
}

inline let_finish_out() {
#ifdef FINISH_BEFORE_PROMISE_MUTANT
  write(source_journal, relinquished);
#endif
  if
  :: !written -> start_reclaiming(answer)
  :: written -> send(finish_sent, true); source_due = nothing
  fi
#ifdef REMOVED_WITH_THE_PROMISE_MUTANT
  ; if :: written -> source_vm = vm_absent :: else fi
#endif
}

inline on_move_returned() {
  move = no_move;
  if
  :: source_state == preparing -> start_reclaiming(reclaim)
  :: source_state == reclaiming -> source_due = reclaim
  :: source_state == releasing -> source_due = remove
  :: else  /* relinquished: the promise stands, whatever libvirt does */
  fi
}

inline on_source_link_lost() {
  source_linked = false;
  verdict_sent = nothing;
  if
  :: source_state == preparing -> start_reclaiming(abort)
#ifdef SILENCE_IS_REFUSAL_MUTANT
  :: source_state == relinquished -> source_state = reclaiming; answer_not_loaded()
#endif
  :: else
  fi
}

inline on_cancel() {
  if
  :: source_state == preparing -> start_reclaiming(abort)
  :: source_state == relinquished -> send(abort_sent, true)
  :: else
  fi
}

/* The destination answers from its journal alone, on a thread of its own. By the time it is heard, the answer may be
 * old. */
inline ask_destination() {
  if
  :: destination_journal == running || destination_journal == done -> verdict = running
  :: destination_journal == refused || destination_journal == in_doubt -> verdict = destination_journal
  :: else -> verdict = undecided
  fi
}

/* That libvirt does not answer, and is asked again, is the same as doing these two later. */
inline reclaim_here() {
  if
  :: source_vm == vm_stopped -> run_source()
  :: else  /* it runs already, or has ended */
  fi;
  source_state = reclaimed;
  source_due = record
}

inline remove_here() { source_vm = vm_absent; source_state = confirmed; source_due = record }

/* Whoever decides knows that it does not run there, and can only believe that it never did. */
inline on_decision_here() {
  decided = true; fenced = true;
  if
  :: destination_vm = vm_absent
  :: true
  fi;
#ifdef DECISION_NOT_RECORDED_MUTANT
  written = true;
#else
  write(source_journal, reclaiming);
#endif
  decision_unsure = !written;
  if
  :: written -> source_state = reclaiming; source_due = answer
  :: else  /* it does not count, and has to be taken back on disk, too */
  fi
}

inline take_decision_back() { write(source_journal, relinquished); decision_unsure = !written }

/* It is said once. */
inline say_that_it_is_over() {
  source_due = nothing;
  if
  :: taken_back_sent = true
  :: !healed
  fi
}

inline record_source_end() {
  write(source_journal, source_state);
  if
  :: written && source_state == confirmed -> source_due = confirm
  :: source_state == reclaimed && decided -> source_due = say_it_is_over
  :: else -> source_due = nothing
  fi
}

inline end_source_session() { source_linked = false; verdict_sent = nothing }

/* The process is gone, and with it libvirt's client, the session and all that was only in memory. */
inline source_dies() {
  if
  :: move == sending || (move == in_finish && finish_answer == not_loaded) -> resume_by_itself()
  :: move == in_finish && finish_answer == loaded -> source_vm = vm_absent
  :: true  /* or it died before libvirt did anything about it */
  fi;
  move = no_move; finish_call = nothing; finish_answer = nothing; end_sending();
  end_source_session();
  verdict = nothing; written = false; decision_unsure = false;
  source_state = source_journal; source_due = nothing;
  if
  :: source_journal == preparing || source_journal == reclaiming -> source_state = reclaiming; source_due = reclaim
  :: else
  fi
}

/* Between two steps that belong together nothing else is looked at; a retry that waits hinders nothing. */
#define source_is_free (verdict == nothing && !decision_unsure && (source_due == nothing || source_due == reclaim || source_due == remove))

active proctype Source() provided (killed != destination) {
  bool written = false, decision_unsure = false;
  mtype verdict = nothing;
  do
  :: {
       do
       :: atomic { source_due == finish -> let_finish_out() }
       :: atomic { source_due == abort -> abort_hypervisor() }
       :: atomic { source_due == answer -> answer_not_loaded() }
       :: atomic { source_due == record -> record_source_end() }
       :: atomic { source_due == confirm -> send(confirmed_sent, true); source_due = nothing }
       :: atomic { source_due == say_it_is_over -> say_that_it_is_over() }
       :: atomic { source_due == reclaim -> reclaim_here() }
       :: atomic { source_due == remove -> remove_here() }
       :: atomic { decision_unsure -> take_decision_back() }
       :: atomic { decision_unsure -> on_decision_here() }
       :: atomic { verdict != nothing -> on_verdict(verdict) }
       :: atomic { source_is_free && !source_is_final && !healed -> on_cancel() }
       :: atomic { source_is_free && source_state == relinquished && source_vm != vm_absent &&
                   destination_vm != vm_running && !decided -> on_decision_here() }
       :: atomic { source_is_free && source_state == relinquished && fenced -> on_decision_here() }
       :: atomic { source_is_free && source_linked && (!healed || !destination_linked) -> on_source_link_lost() }
       :: atomic { source_is_free && verdict_sent != nothing && source_linked ->
            verdict = verdict_sent; take(verdict_sent, nothing) }
       :: atomic { source_is_free && finish_call != nothing -> on_finish_call() }
       :: atomic { source_is_free && move == returned && finish_call == nothing -> on_move_returned() }
#ifndef NEVER_ASKS_MUTANT
       :: atomic { source_is_free && source_state == relinquished && !fenced -> ask_destination() }
#endif
       :: atomic { source_is_final && source_due == nothing && verdict == nothing -> end_source_session(); break }
       od;
end_source:
       false
     } unless {
       atomic { killed == source -> killed = nothing; source_dies() }
     }
  od
}

/* ---- The destination's daemon ---- */

inline send_verdict() {
  destination_due = nothing;
  if
  :: destination_state == running || destination_state == done -> send(verdict_sent, running)
  :: destination_state == refused || destination_state == in_doubt -> send(verdict_sent, destination_state)
  :: else
  fi
}

inline refuse() { destination_state = refusing; destination_due = discard }

/* Nothing runs before `started` is on disk. If it cannot be written there is no commit, and the VM is thrown away. */
inline commit() {
#ifdef RUNS_BEFORE_COMMIT_MUTANT
  if :: destination_vm == vm_stopped -> run_destination() :: else fi;
#endif
  write(destination_journal, started);
  if
  :: written -> destination_due = resume
  :: else -> refuse()
  fi
}

inline load() {
  if
  :: destination_vm == vm_incoming -> destination_vm = vm_stopped; destination_state = started
  :: destination_vm == vm_absent -> refuse()
  :: !healed -> refuse()
  fi
}

inline resume_here() {
  if
  :: destination_vm == vm_stopped -> run_destination(); destination_state = running
  :: destination_vm == vm_running -> destination_state = running
  :: destination_vm == vm_absent -> destination_state = in_doubt
  fi;
  destination_due = record
}

/* Who has decided does not look away before it is on record. */
inline let_go() { fenced = fenced && source_state != reclaiming && source_state != reclaimed }

inline discard_here() {
  assert(destination_vm != vm_running);
  let_go();
  destination_vm = vm_absent;
  destination_state = refused;
  destination_due = record
}

/* Somebody has decided for the source. What had been committed is not run any more, nor by a daemon that starts anew: the
 * record is there for that one. If it cannot be written, the VM is removed all the same. */
inline on_taken_back() {
  if
  :: destination_state == reserved || destination_state == incoming -> refuse()
  :: (destination_state == started && destination_due == resume) || destination_state == in_doubt ->
     destination_state = refusing; destination_due = record_removal
  :: else
  fi
}

inline record_the_removal() {
#ifdef REMOVAL_NOT_RECORDED_MUTANT
  let_go();
#else
  write(destination_journal, refusing);
  if
  :: written -> let_go()
  :: else
  fi;
#endif
  destination_due = discard
}

/* Somebody has made sure that the source cannot run it, and starts it from its disk. */
inline on_decision_there() {
  decided = true;
  source_vm = vm_absent;
  destination_state = done;
  destination_journal = done;
  destination_vm = vm_absent;
  run_destination()
}

/* What cannot be written is told nevertheless, and written later. */
inline record_destination() {
  write(destination_journal, destination_state);
  unwritten = !written;
  destination_due = tell
}

inline on_finish() {
  if
  :: destination_state == incoming -> destination_state = loading
  :: destination_state == incoming && !healed -> refuse()  /* the memory that came is not what was sent */
  :: destination_state == running || destination_is_final -> destination_due = tell
  :: else
  fi
}

inline on_abort() {
  if
  :: destination_state == reserved || destination_state == incoming -> refuse()
#ifdef REFUSES_AFTER_COMMIT_MUTANT
  :: destination_state == started || destination_state == running -> refuse()
#else
  :: destination_state == running -> destination_due = tell
#endif
  :: destination_is_final -> destination_due = tell
  :: else
  fi
}

inline end_destination_session() {
  destination_linked = false; finish_sent = false; abort_sent = false; confirmed_sent = false
}

inline on_destination_link_lost() {
  end_destination_session();
  if
  :: destination_state == reserved || destination_state == incoming -> refuse()
  :: else
  fi
}

/* Before Finish was passed on, libvirtd destroys the VM of a client that has gone; afterwards it keeps it, stopped. */
inline destination_dies() {
  if
  :: destination_vm == vm_incoming -> destination_vm = vm_absent
  :: destination_vm == vm_incoming && destination_state == loading -> destination_vm = vm_stopped
  :: destination_vm != vm_incoming
  fi;
  end_destination_session();
  written = false; unwritten = false;
  destination_state = destination_journal; destination_due = nothing;
  if
  :: destination_journal == reserved -> refuse()
#ifdef FORGETS_COMMIT_MUTANT
  :: destination_journal == started -> refuse()
#else
  :: destination_journal == started -> destination_due = resume
#endif
  :: destination_journal == refusing -> refuse()
  :: else
  fi
}

#define destination_is_free (destination_state != loading && !(destination_state == started && destination_due == nothing) \
                             && destination_due != record && destination_due != tell && destination_due != record_removal)
#define destination_is_settled (destination_is_final || (destination_state == running && !destination_linked))

active proctype Destination() provided (killed != source) {
  bool written = false, unwritten = false;
  do
  :: {
       do
       :: atomic { destination_state == loading -> load() }
       :: atomic { destination_state == started && destination_due == nothing -> commit() }
       :: atomic { destination_due == resume && (!fenced || destination_vm == vm_absent) -> resume_here() }
       /* It has not been heard: who decided does not let go before the VM has been ended there. */
       :: atomic { destination_due == resume && fenced && source_state == reclaimed && source_due == nothing &&
                   !taken_back_sent && destination_vm != vm_absent -> destination_vm = vm_absent }
       :: atomic { destination_due == record_removal -> record_the_removal() }
       :: atomic { destination_due == discard -> discard_here() }
       :: atomic { destination_due == record -> record_destination() }
       :: atomic { destination_due == tell -> send_verdict() }
       :: atomic { destination_due == nothing && unwritten -> destination_due = record }
       :: atomic { destination_is_free && destination_state == reserved ->
            destination_vm = vm_incoming; prepared = (move == sending); destination_state = incoming }
       :: atomic { destination_is_free && (destination_state == reserved || destination_state == incoming) && !healed ->
            refuse() }
       :: atomic { destination_is_free && finish_sent -> take(finish_sent, false); on_finish() }
       :: atomic { destination_is_free && abort_sent -> take(abort_sent, false); on_abort() }
       :: atomic { destination_is_free && confirmed_sent -> take(confirmed_sent, false);
            if
            :: destination_state == running -> destination_state = done; destination_due = record
            :: else
            fi }
       :: atomic { destination_is_free && taken_back_sent -> take(taken_back_sent, false); on_taken_back() }
       :: atomic { destination_is_free && destination_linked && (!healed || !source_linked) ->
            on_destination_link_lost() }
       :: atomic { destination_is_settled && destination_due == nothing && !unwritten ->
            end_destination_session(); break }
       od;
end_destination:
       if
       :: atomic { taken_back_sent -> take(taken_back_sent, false); on_taken_back() }
       :: atomic { destination_state == in_doubt && destination_journal == in_doubt && !decided && source_vm != vm_running ->
            on_decision_there() }
       fi
     } unless {
       atomic { killed == destination -> killed = nothing; destination_dies() }
     }
  od
}

/* ---- The world ---- */

active proctype Faults() provided (killed == nothing) {
  do
  :: killed = source
  :: killed = destination
  /* A QEMU dies. */
  :: atomic { source_vm != vm_absent -> source_vm = vm_absent; holder_died = holder_died || !committed || decided }
  :: atomic { destination_vm != vm_absent -> destination_vm = vm_absent; holder_died = holder_died || committed || about_to_commit }
  :: healed = true; break
  od
#ifdef TIME_GOES_ON
  /* A claim about the end looks at runs that have none: so nothing that comes to rest passes for having no end. */
  ; do :: healed -> skip od
#endif
}

/* ---- Claims ---- */

/* Once everything works again, the VM comes to run at one host, for good. */
ltl finally_one { <> healed -> <> [] (one_runs || holder_died) }
/* These two must fail: a model in which nothing happens would prove anything. */
ltl never_moves { [] !(source_state == confirmed && destination_state == done) }
ltl never_returns { [] !(source_journal == relinquished && source_state == reclaimed && source_vm == vm_running) }
