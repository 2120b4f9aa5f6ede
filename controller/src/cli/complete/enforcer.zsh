#compdef enforcer
# zsh completion of enforcer; `enforcer completions zsh` prints it
_enforcer() {
    local line tab=$'\t'
    local -a lines described
    lines=("${(@f)$("${(Q)words[1]}" complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        [[ -n $line ]] || continue
        # A colon of the value itself, as in an address, is not the one before the description.
        described+=("${${line%%$tab*}//:/\\:}:${line#*$tab}")
    done
    if (( ${#described} )); then
        _describe -t enforcer enforcer described
    else
        _files
    fi
}
if [[ ${funcstack[1]-} == _enforcer ]]; then
    _enforcer "$@"
else
    compdef _enforcer enforcer
fi
