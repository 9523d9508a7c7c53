#!/bin/sh
# Prints the home of a Java that can run Spark, installing one where there is none and the user
# may. Everything else is said on stderr. Exit 2: there is none, and what to do was printed.
set -eu

oldest=17
newest=21

# Print the home of the Java executable $1 if its version fits. Spark asks for the incubating
# vector module at start, and a trimmed Java that lacks it cannot start Spark.
home_of() {
    "$1" --add-modules=jdk.incubator.vector -XshowSettings:properties -version 2>&1 |
        awk -v oldest="$oldest" -v newest="$newest" -F ' = ' '
            $1 ~ /java\.home$/ { home = $2 }
            $1 ~ / java\.specification\.version$/ { version = $2 + 0 }
            END { if (home != "" && version >= oldest && version <= newest) print home }'
}

find_java() {
    for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" \
        /usr/lib/jvm/*/bin/java /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java \
        /opt/homebrew/opt/openjdk@*/bin/java /usr/local/opt/openjdk@*/bin/java; do
        [ -x "$java" ] || continue
        home=$(home_of "$java")
        [ -z "$home" ] || break
    done
    echo "${home:-}"
}

may_be_root() {
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# The system's package manager, if it has one that is known here.
package_manager() {
    for manager in apt-get dnf apk brew; do
        if command -v "$manager" >/dev/null 2>&1; then
            echo "$manager"
            return
        fi
    done
}

install_java() {
    case $1 in
    apt-get)
        as_root apt-get update -q </dev/null >&2 || true
        install='as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends'
        packages='openjdk-17-jre-headless openjdk-21-jre-headless'
        ;;
    dnf)
        install='as_root dnf install -yq'
        packages='java-17-amazon-corretto-headless java-17-openjdk-headless java-21-openjdk-headless'
        ;;
    apk)
        install='as_root apk add'
        packages='openjdk17-jre-headless openjdk21-jre-headless'
        ;;
    brew)
        install='brew install'
        packages='openjdk@17 openjdk@21'
        ;;
    esac
    # Systems pack different versions: the first that is packed here will do.
    for package in $packages; do
        # shellcheck disable=SC2086  (the words of a command from above)
        if $install "$package" </dev/null >&2; then return; fi
    done
    return 1
}

advise() {
    echo "Java $oldest to $newest is needed to run Spark, and none was found. Install it with"
    case $1 in
    apt-get) echo "  sudo apt-get install openjdk-17-jre-headless    (or openjdk-21-jre-headless)" ;;
    dnf) echo "  sudo dnf install java-17-amazon-corretto-headless    (Fedora: java-21-openjdk-headless)" ;;
    apk) echo "  sudo apk add openjdk17-jre-headless" ;;
    brew) echo "  brew install openjdk@17" ;;
    *) echo "  an archive of Java 17 or 21 from https://adoptium.net, and set JAVA_HOME to its folder" ;;
    esac
}

home=$(find_java)
if [ -z "$home" ]; then
    manager=$(package_manager)
    # Homebrew installs for the user and refuses root; the others need root.
    if [ "$manager" = brew ] || { [ -n "$manager" ] && may_be_root; }; then
        echo "No Java $oldest to $newest was found: installing one with $manager" >&2
        install_java "$manager" || true
        home=$(find_java)
    fi
fi
if [ -z "$home" ]; then
    advise "${manager:-}" >&2
    exit 2
fi
echo "$home"
